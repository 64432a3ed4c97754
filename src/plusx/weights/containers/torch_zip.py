"""What torch.save writes since 1.6: a zip of a pickle (`data.pkl`) and the storages it refers to (`data/0`, `data/1`, …)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plusx.errors import WeightsError
from plusx.i18n import _
from plusx.pickles import BadPickle, read_pickle
from plusx.weights.containers.mapped_file import shown
from plusx.weights.containers.tensors import ITEM_SIZES, Allowance, Storage
from plusx.weights.containers.torch_names import TorchNames, storage_type
from plusx.weights.containers.tree import Tree, TreeMaker
from plusx.weights.containers.zips import Zip
from plusx.weights.stored import StoredFile

EXPORT_MARK, OLD_EXPORT = "archive_format", "serialized_exported_program.json"
"""Entries by which an archive of torch.export is known: since 2.7, and before."""


def folder_of(archive: Zip, name: str = "data.pkl") -> str | None:
    """The folder, with its slash, in which an archive keeps `name`; None where it has none."""
    found = [entry for entry in archive.entries if entry == name or entry.endswith(f"/{name}")]
    return min(found, key=lambda entry: (entry.count("/"), entry)).removesuffix(name) if found else None


class Archive:
    """The pickles of one archive of torch's. Storages are shared by them."""

    def __init__(self, archive: Zip, folder: str, allowance: Allowance) -> None:
        self.zip, self.folder, self.allowance = archive, folder, allowance
        self.file = allowance.file
        self.storages: dict[str, Storage] = {}
        order = f"{folder}byteorder"
        self.big_endian = order in archive.entries and bytes(archive.view(order)[:8]) == b"big"

    def read(self, pickle: str, storages: str) -> tuple[Any, TorchNames]:
        """The value of a pickle whose storages lie in a folder. Raises WeightsError."""
        names = TorchNames(self.allowance)

        def persistent(key: Any) -> Storage:
            return self.storage(key, f"{self.folder}{storages}/")

        try:
            raw = self.zip.view(self.folder + pickle)
            return read_pickle(raw, names.vocabulary(persistent))[0], names
        except BadPickle as error:
            raise WeightsError(
                _(
                    "{file} cannot be read: its {pickle} is damaged ({error}). Fetch it again.",
                    file=self.file,
                    pickle=pickle,
                    error=error.message,
                )
            ) from error

    def storage(self, key: Any, folder: str) -> Storage:
        """What a persistent id stands for: ("storage", type, key, device, number of elements)."""
        if not isinstance(key, tuple) or len(key) != 5 or key[0] != "storage" or not isinstance(key[2], str):
            raise BadPickle(_("a reference that is no storage"))
        _storage, kind, name, _device, count = key
        dtype = storage_type(kind)
        entry = self.zip.entries.get(folder + name)
        if entry is None:
            raise WeightsError(
                _("{file} lacks its part data/{name}. Fetch it again.", file=self.file, name=shown(name))
            )
        size = (
            count * (1 if dtype is None else ITEM_SIZES[dtype]) if type(count) is int and 0 <= count < 1 << 48 else -1
        )
        if not 0 <= size <= entry.size:
            raise WeightsError(
                _(
                    "{file} has {size} bytes in its part data/{name}, which do not hold the numbers announced. Fetch it again.",
                    file=self.file,
                    size=entry.size,
                    name=shown(name),
                )
            )
        known = self.storages.get(f"{dtype} {entry.name}")
        if known is None or known.size < size:
            known = Storage(name, dtype, size, lambda: self.zip.view(entry.name), self.big_endian)
            self.storages[f"{dtype} {entry.name}"] = known
        return known


def read_state(archive: Zip, folder: str, allowance: Allowance) -> Tree:
    """The tree of an archive's data.pkl."""
    value, names = Archive(archive, folder, allowance).read("data.pkl", "data")
    return TreeMaker(allowance, names.modules).make(value)


def read_torch_zip(path: Path, archive: Zip, folder: str) -> StoredFile:
    """A file of torch.save: a state dict, a checkpoint or a whole model."""
    tree = read_state(archive, folder, Allowance(archive.file, len(archive.raw)))
    return StoredFile(path, "torch zip", tree.value, tree.layers, module_names(tree))


def module_names(tree: Tree) -> dict[str, str]:
    """Metadata `modules` (of a nested state dict: `modules:PATH`): the paths of all its modules, a line each."""
    return {f"modules:{path}" if path else "modules": "\n".join(names) for path, names in tree.modules.items()}
