"""Which folders are parts of a data set, which are classes, and which only wrap them, detected from names and content."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from plusx.data.parts import PART_NAMES, some
from plusx.errors import DataError
from plusx.i18n import Message, _, joined
from plusx.images import holds_images, is_ignored
from plusx.images.walking import is_image, kind_of_entry

_NEUTRAL = frozenset(
    (
        "set", "sets", "data", "dataset", "split", "part", "folder", "dir", "images", "image", "imgs", "img", "images",
        "photos", "jpg", "jpeg", "png",
    )
)  # fmt: skip
"""Words that may accompany train or test in a folder's name without a meaning of their own."""
_IMAGE_WORDS = frozenset(("images", "image", "imgs", "img", "images", "photos", "jpg", "jpeg", "jpegs", "png", "pngs"))
_MOST_WRAPPERS = 8


@dataclass(frozen=True)
class FolderLayout:
    """The folders whose folders are classes, of each part (None: not there), and what was decided on the way."""

    train: Path | None
    val: Path | None
    notes: tuple[Message, ...] = ()


@dataclass
class _PartGroup:
    """Folders whose names say parts and otherwise the same: seg_train and seg_test are one group."""

    names: dict[str, list[str]] = field(default_factory=dict)

    def all(self) -> list[str]:
        return [name for names in self.names.values() for name in names]


def find_layout(root: Path) -> FolderLayout:
    """Where the class folders of each part lie. Raises DataError where names and contents leave it open."""
    notes: list[Message] = []
    at = root
    for _depth in range(_MOST_WRAPPERS):
        if (found := _parts_in(at)) is not None:
            return FolderLayout(found.train, found.val, (*_wrapped(root, at), *found.notes))
        inner = _only_container(at)
        if inner is None:
            break
        at = inner
    if len(_filled(at)) < 2:
        at = root  # nothing was gained: let the message be about what was given
    _refuse_parts_inside(at)
    notes += _wrapped(root, at)
    return FolderLayout(at, None, tuple(notes))


def class_folders(root: Path) -> tuple[str, ...]:
    """Names of the class folders in `root`, sorted; hidden and system folders are not among them. Raises DataError."""
    try:
        with os.scandir(root) as items:
            found = [e.name for e in items if not is_ignored(e.name) and kind_of_entry(e) == "folder"]
    except OSError as error:
        raise DataError(
            _("{path} cannot be read ({reason}). Check its permissions.", path=root, reason=error.strerror)
        ) from error
    return tuple(sorted(found))


def loose_images(root: Path) -> list[str]:
    """Names of the images that lie directly in a folder, sorted."""
    try:
        with os.scandir(root) as items:
            return sorted(e.name for e in items if is_image(root, e))
    except OSError:
        return []


def part_of(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The part that a folder's name says (train, val or test), and the words of it that say something else.

    >>> part_of("Training"), part_of("seg_test"), part_of("trainingSet"), part_of("trainer")
    (('train', ()), ('test', ('seg',)), ('train', ()), None)
    """
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_a-zA-Z]+", name)]
    at = [i for i, word in enumerate(words) if word in PART_NAMES]
    if len(at) != 1 or at[0] not in (0, len(words) - 1):
        # neutral words may come between: train_images
        kept = [word for word in words if word not in _NEUTRAL]
        at = [i for i, word in enumerate(kept) if word in PART_NAMES]
        if len(at) != 1 or at[0] not in (0, len(kept) - 1):
            return None
        words = kept
    rest = tuple(word for i, word in enumerate(words) if i != at[0] and word not in _NEUTRAL)
    return PART_NAMES[words[at[0]]], rest


def has_labels(root: Path) -> bool:
    """Whether the folders of `root` give the labels: parts with class folders, or two class folders at least.

    Folders named images, train_images and the like give none, when images lie directly in them.
    """
    try:
        if (found := _parts_in(root)) is not None:
            return found.train is not None or found.val is not None
        inner = _only_container(root)
        if inner is not None:
            return has_labels(inner)
    except DataError:
        return False
    filled = _filled(root)
    return len(filled) >= 2 and not all(_says_images(name) for name in filled)


def _says_images(name: str) -> bool:
    words = set(re.findall(r"[a-z]+", name.lower()))
    return part_of(name) is not None or bool(words & _IMAGE_WORDS)


def _parts_in(at: Path) -> FolderLayout | None:
    """The parts that the folders in `at` are; None: they are none. Raises DataError where it is ambiguous."""
    names = class_folders(at)
    group = _group(at, names)
    if group is None:
        return None
    others = [name for name in names if name not in group.all() and holds_images(at / name)]
    train, val, test = (_one_of(at, group.names.get(part, [])) for part in ("train", "val", "test"))
    if train is None:
        held = val or test
        if others or held is None or not class_folders(held):
            return None
        return FolderLayout(None, held, (*_unwrapped_note(at, held),))
    alone = len(group.names) == 1
    if not _filled(train):
        if (alone and others) or not holds_images(train):
            return None  # a class of that name among others
        raise DataError(_unlabelled(train, at))
    if alone and others:
        raise DataError(
            _(
                "{part} of {root} holds class folders as a part does, but {others} beside it hold images too, as classes do. Name {train} to train on that alone, or move it away.",
                part=train.relative_to(at),
                root=at,
                others=some(others),
                train=train,
            )
        )
    val, notes = _held_out_part(at, train, val, test)
    if others:
        notes.append(_("{others} of {root} belong to no part and are skipped.", others=some(others), root=at))
    return FolderLayout(train, val, (*_unwrapped_note(at, train), *(_unwrapped_note(at, val) if val else ()), *notes))


def _held_out_part(at: Path, train: Path, val: Path | None, test: Path | None) -> tuple[Path | None, list[Message]]:
    """The folder to validate on, and what to say of the test part."""
    if val is not None:
        if not class_folders(val) and (loose := loose_images(val)):
            raise DataError(
                _(
                    "The validation part {val} has no class folders, and {n} images lie directly in it. Put the images of each class into a folder of its own. Or move the part away, and a share of train is held out.",
                    val=val,
                    n=len(loose),
                )
            )
        said = (
            []
            if test is None
            else [_("{path} is skipped, since there is a validation part. plusx evaluate can use it later.", path=test)]
        )
        return val, said
    if test is None:
        return None, []
    if set(class_folders(test)) & set(class_folders(train)):
        return test, [_("{path} is taken as the validation part, since nothing is named val.", path=test)]
    n = len(loose_images(test)) or sum(len(loose_images(test / name)) for name in class_folders(test))
    return None, [
        _(
            "{path} has no labels and is skipped ({n} images). A share of {train} is held out instead.",
            path=test,
            n=n,
            train=train,
        )
    ]


def _group(at: Path, names: tuple[str, ...]) -> _PartGroup | None:
    """The folders that are parts by name: those that say nothing else, or a family such as seg_train and seg_test."""
    groups: dict[tuple[str, ...], _PartGroup] = {}
    for name in names:
        if (said := part_of(name)) is not None:
            groups.setdefault(said[1], _PartGroup()).names.setdefault(said[0], []).append(name)
    if () in groups and ("train" in groups[()].names or len(groups) == 1):
        return groups[()]
    families = [group for group in groups.values() if len(group.names) > 1]
    if len(families) > 1:
        shown = joined("; ", [some(group.all()) for group in families])
        raise DataError(
            _(
                "{at} holds more than one set of parts ({shown}). Move all but one away, or name one folder.",
                at=at,
                shown=shown,
            )
        )
    return families[0] if families else None


def _one_of(at: Path, names: list[str]) -> Path | None:
    """The folder of a part, without what wraps it. Of several names for one part, the one that has class folders."""
    if len(names) > 1:
        able = [name for name in names if _filled(_unwrapped(at / name))]
        if len(able) != 1:
            raise DataError(
                _(
                    "{names} of {at} are names of the same part. Move all but one away, or name one folder with --data.",
                    names=some(names),
                    at=at,
                )
            )
        names = able
    return _unwrapped(at / names[0]) if names else None


def _unwrapped(folder: Path) -> Path:
    """The folder, or the one within it that holds everything: seg_train/seg_train."""
    for _depth in range(_MOST_WRAPPERS):
        filled = _filled(folder)
        if len(filled) != 1 or loose_images(folder):
            break
        inner = folder / filled[0]
        if loose_images(inner) and inner.name != folder.name:
            break  # the one class folder of this part
        folder = inner
    return folder


def _only_container(at: Path) -> Path | None:
    """The one folder in `at` that holds everything, if it holds folders in turn and no images of its own."""
    filled = _filled(at)
    if len(filled) != 1 or loose_images(at):
        return None
    inner = at / filled[0]
    return inner if not loose_images(inner) and _filled(inner) else None


def _filled(folder: Path) -> list[str]:
    return [name for name in class_folders(folder) if holds_images(folder / name)]


def _unlabelled(train: Path, at: Path) -> Message:
    loose = len(loose_images(train))
    return _(
        "The training part {train} has no class folders ({n} images lie directly in it). Put the images of each class"
        " into a folder of its own, or name the CSV list that gives their classes: --data {root}/LIST.csv.",
        train=train, n=loose, root=at,
    )  # fmt: skip


def _refuse_parts_inside(root: Path) -> None:
    """Raises DataError where every class folder holds parts: training would mix them."""
    for name in (names := class_folders(root)):
        inside = {said[0] for sub in class_folders(root / name) if (said := part_of(sub)) is not None and not said[1]}
        if len(inside) < 2:
            return
    if names:
        inner = ", ".join(f"{names[0]}/{sub}" for sub in class_folders(root / names[0])[:2])
        raise DataError(
            _(
                "The class folders of {root} hold the parts ({inner}), which training would mix. Put the parts outside: train/{name} and val/{name}.",
                root=root,
                inner=inner,
                name=names[0],
            )
        )


def _wrapped(root: Path, at: Path) -> tuple[Message, ...]:
    return () if at == root else (_("Everything lies in {path}, which is taken as the data set.", path=at),)


def _unwrapped_note(at: Path, folder: Path) -> tuple[Message, ...]:
    return () if folder.parent == at else (_("The class folders are those of {path}.", path=folder),)
