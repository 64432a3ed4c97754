"""fetch(): the file that a name stands for, from the nearest place that has it, verified."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from plusx.errors import RunError, WeightsError
from plusx.i18n import Message, _
from plusx.specs import ResNetSpec
from plusx.weights.hub import environment
from plusx.weights.hub.downloading import MOST_BYTES, Downloaded, NotThere, download
from plusx.weights.hub.entry import Entry
from plusx.weights.hub.locking import locked
from plusx.weights.hub.names import HUB_FILES, NamedWeights, read_name
from plusx.weights.hub.other_caches import CachedFile, cached_files
from plusx.weights.hub.recognising import is_name
from plusx.weights.hub.records import FetchedRecord, read_record, record_path, write_record
from plusx.weights.hub.remote import Digest, RemoteFile, hash_of, hub_file
from plusx.weights.hub.requesting import Unreachable, address_of, check_scheme
from plusx.weights.hub.watching import Watch, current_watch

CONFIG = "config.json"
MOST_CONFIG = 4 << 20


@dataclass(frozen=True)
class FetchedWeights:
    """A verified file on this machine, and what the table knows of it; `said` are lines on where it came from."""

    path: Path
    name: str
    entry: Entry | None
    sha256: str
    said: tuple[Message, ...] = ()


def local_file(source: str | Path, network: ResNetSpec | None = None) -> Path | FetchedWeights:
    """The file that a source names: itself, where it is a path; else what `fetch` gives. A path of this machine always wins.

    Raises what `fetch` raises, and WeightsError before a download that plusx could make no use of.
    """
    if not is_name(source):
        return Path(source)
    entry = read_name(source, network).entry
    if entry is not None and entry.refuses is not None:
        raise WeightsError(_("{path} is not a network of plusx: {refuses}.", path=entry.name, refuses=entry.refuses))
    return fetch(source, network=network)


def fetch(name: str | Path, *, network: ResNetSpec | None = None) -> FetchedWeights:
    """The file of weights by name: `torchvision/resnet50`, `timm/…`, `hf:org/repo@revision`, `https://…`, or `imagenet`.

    It is taken from plusx's cache, else from that of torch, huggingface_hub, ModelScope or Keras, else it is downloaded. Its hash
    is compared with the published one; where there is none, with the one that was seen first. `network` is for `imagenet`.
    Raises SpecError or WeightsError for a name or a file that cannot be right, RunError where the network or the disk fails.
    """
    wanted = read_name(name, network)
    for file in wanted.files:
        check_scheme(address_of(file), file)
    said = list(wanted.said)
    for file in wanted.files:
        found = _cached(wanted, file, said)
        if found is not None:
            return found
    return _downloaded(wanted, said)


# ---- what is on this machine ----


def _found(wanted: NamedWeights, path: Path, sha256: str, said: list[Message]) -> FetchedWeights:
    return FetchedWeights(path, wanted.name, wanted.entry, sha256, tuple(dict.fromkeys(said)))


def _cached(wanted: NamedWeights, file: RemoteFile, said: list[Message]) -> FetchedWeights | None:
    """The file from plusx's cache or another library's; lines about it, and about copies that are not used, go to `said`.

    Raises WeightsError for a file that changed after it was first seen.
    """
    if file.place.is_file():
        own = _own(wanted, file, said)
        if own is not None:
            return own
    known = read_record(file.place)
    for copy in cached_files(file, wanted.digest is not None):
        sha256 = hash_of(copy.path)
        if not _is_right(copy, sha256, wanted.digest, known):
            said.append(_("{path} has another hash than it should, so it is not used", path=copy.path))
            continue
        said.append(
            _("{name} is taken from the cache of {owner} ({path})", name=wanted.name, owner=copy.owner, path=copy.path)
        )
        if known is None and wanted.digest is None:
            if copy.digest is None:
                said.append(_unverified(sha256))
            _remember(file, sha256, copy, said)
        return _found(wanted, copy.path, sha256, said)
    return None


def _is_right(copy: CachedFile, sha256: str, published: Digest | None, known: FetchedRecord | None) -> bool:
    if copy.digest is not None and copy.digest.start != sha256:
        return False
    if published is not None:
        return published.fits(copy.path, sha256)
    return known is None or known.sha256 == sha256


def _own(wanted: NamedWeights, file: RemoteFile, said: list[Message]) -> FetchedWeights | None:
    """The file in plusx's cache; None for one that is damaged and can be fetched again."""
    place, known = file.place, read_record(file.place)
    sha256 = hash_of(place)
    if wanted.digest is not None and not wanted.digest.fits(place, sha256):
        if environment.is_offline(file.repo):
            raise WeightsError(
                _("{path} has another hash than the published one ({hash}). Replace it by the file at {url}.",
                  path=place, hash=str(wanted.digest), url=address_of(file))
            )  # fmt: skip
        said.append(_("{path} is damaged and is fetched again", path=place))
        return None
    if wanted.digest is None and known is not None and known.sha256 != sha256:
        raise WeightsError(
            _("{path} changed after it was fetched (sha256 {now}… in place of {before}…). Delete it to fetch it again, or delete {record} "
              "to accept the change.",
              path=place, now=sha256[:16], before=known.sha256[:16], record=record_path(place))
        )  # fmt: skip
    if known is None:
        said.append(_("{name} was put at {path} by hand", name=wanted.name, path=place))
        if wanted.digest is None:
            said.append(_unverified(sha256))
        _remember(file, sha256, CachedFile(place, "plusx"), said)
    return _found(wanted, place, sha256, said)


def _unverified(sha256: str) -> Message:
    return _(
        "its publisher states no hash; this one is remembered and a later change refused: sha256 {sha256}",
        sha256=sha256,
    )


def _remember(file: RemoteFile, sha256: str, copy: CachedFile, said: list[Message]) -> None:
    """Records a file that is here already. A cache that may only be read, as in a container, does not stop its use."""
    try:
        _record(file, sha256, copy.path.stat().st_size, copy.commit)
    except RunError as error:
        said.append(_("its hash could not be remembered ({reason})", reason=error.message))


def _record(file: RemoteFile, sha256: str, n: int, commit: str) -> None:
    write_record(file.place, FetchedRecord(file.url, sha256, n, commit))


# ---- what is not ----


def _downloaded(wanted: NamedWeights, said: list[Message]) -> FetchedWeights:
    watch = current_watch()
    for file in wanted.files:
        forbids = environment.is_offline(file.repo)
        if forbids:
            raise WeightsError(
                _("{name} is not on this machine, and {variable} forbids downloads. {by_hand}",
                  name=wanted.name, variable=forbids, by_hand=_by_hand(wanted, file))
            )  # fmt: skip
        try:
            with locked(file.place, watch):
                found = _cached(wanted, file, said)  # another process may have been quicker
                return _fetched(wanted, file, watch, said) if found is None else found
        except NotThere:
            continue
        except Unreachable as error:
            raise RunError(
                _("{name} could not be downloaded ({reason}). {by_hand}", name=wanted.name, reason=error.reason, by_hand=_by_hand(wanted, file))
            ) from error  # fmt: skip
    raise WeightsError(_not_there(wanted))


def _fetched(wanted: NamedWeights, file: RemoteFile, watch: Watch, said: list[Message]) -> FetchedWeights:
    known, digest, record = read_record(file.place), wanted.digest, None
    if digest is None and known is not None:
        digest, record = Digest("sha256", known.sha256), record_path(file.place)
    most = (
        MOST_BYTES if wanted.entry is None or wanted.entry.mib is None else int((wanted.entry.mib * 1.01 + 1) * 2**20)
    )
    if file.repo and wanted.entry is None and file.path in HUB_FILES:
        _fetch_config(file, watch)
    made = download(file, file.place, digest, most, watch, record=record)
    if known is None:
        _record(file, made.sha256, file.place.stat().st_size, made.commit)
    return _found(wanted, file.place, made.sha256, [*said, *_origin(wanted, file, made)])


def _origin(wanted: NamedWeights, file: RemoteFile, made: Downloaded) -> list[Message]:
    lines = [_("{name} was downloaded from {url}", name=wanted.name, url=address_of(file))]
    if made.commit:
        lines = [
            _(
                "{name} was downloaded from {url}, revision {commit}",
                name=wanted.name,
                url=address_of(file),
                commit=made.commit,
            )
        ]
    if not made.verified:
        lines.append(_unverified(made.sha256))
    return lines


def _fetch_config(file: RemoteFile, watch: Watch) -> None:
    """The config.json beside weights of the hub, which names classes and says how images become input.

    Not every repository has one. It comes first, since weights that are in their place are not asked for again.
    """
    config = hub_file(file.repo, CONFIG, file.revision)
    if config.place.is_file():
        return
    try:
        made = download(config, config.place, None, MOST_CONFIG, watch)
        if read_record(config.place) is None:
            _record(config, made.sha256, config.place.stat().st_size, made.commit)
    except (NotThere, WeightsError):
        return


def _by_hand(wanted: NamedWeights, file: RemoteFile) -> Message:
    url, path = address_of(file), file.place
    if wanted.digest is None:
        return _("Get {url} (no hash is published) and put it at {path}.", url=url, path=path)
    return _("Get {url} ({hash}) and put it at {path}.", url=url, hash=str(wanted.digest), path=path)


def _not_there(wanted: NamedWeights) -> Message:
    first = wanted.files[0]
    if not first.repo:
        return _("There is no file at {url} (HTTP 404). Check the address.", url=first.url)
    names = ", ".join(file.path for file in wanted.files)
    return _("{repo} has no file {names} at revision {revision} (HTTP 404). Check the name, or write hf:{repo}/FILE with a file that it has.",
             repo=first.repo, names=names, revision=first.revision)  # fmt: skip
