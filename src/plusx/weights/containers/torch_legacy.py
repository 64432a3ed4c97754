"""What torch.save wrote before 1.6: five pickles in a row, then the storages one after the other.

Order (torch/serialization.py, _legacy_save): magic number, protocol version, facts of the machine, the object, the keys of its
storages; then for each key the number of elements (8 bytes) and the bytes themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plusx.errors import WeightsError
from plusx.i18n import Message, _
from plusx.pickles import BadPickle, Name, Vocabulary, read_pickle
from plusx.weights.containers.mapped_file import shown
from plusx.weights.containers.tensors import ITEM_SIZES, Allowance, Storage
from plusx.weights.containers.torch_names import TorchNames, storage_type
from plusx.weights.containers.torch_zip import module_names
from plusx.weights.containers.tree import TreeMaker
from plusx.weights.stored import StoredFile

_NUMBER = 0x1950A86A20F9469CFC6C
MAGIC = b"\x8a\x0a" + _NUMBER.to_bytes(10, "little")  # LONG1; a PROTO opcode stands before it
_PROTOCOL = 1001
_FEW = 1000
"""Steps in the pickles before the object; they hold a handful of numbers."""


def is_legacy(raw: memoryview) -> bool:
    """Whether bytes begin as such a file."""
    head = bytes(raw[:14])
    return head[:1] == b"\x80" and head[2:] == MAGIC


class Legacy:
    """The reading of one such stream. Storages get their place once all pickles are read."""

    def __init__(self, raw: memoryview, allowance: Allowance) -> None:
        self.raw, self.allowance, self.file = raw, allowance, allowance.file
        self.storages: dict[str, Storage] = {}
        self.places: dict[str, int] = {}
        self.names = TorchNames(allowance)

    def damaged(self, why: Message) -> WeightsError:
        return WeightsError(_("{file} is damaged or was cut short: {why}. Fetch it again.", file=self.file, why=why))

    def read(self) -> Any:
        """The object. Raises WeightsError."""
        plain, full = Vocabulary(), self.names.vocabulary(self.persistent)
        at, value, order = 0, None, "little"
        try:
            number, at = read_pickle(self.raw, plain, at, _FEW)
            version, at = read_pickle(self.raw, plain, at, _FEW)
            if number != _NUMBER or version != _PROTOCOL:
                raise self.damaged(_("its version is not {protocol}", protocol=_PROTOCOL))
            facts, at = read_pickle(self.raw, plain, at, _FEW)
            if isinstance(facts, dict) and facts.get("little_endian") is False:
                order = "big"
            value, at = read_pickle(self.raw, full, at)
            keys, at = read_pickle(self.raw, plain, at)
        except BadPickle as error:
            raise self.damaged(error.message) from error
        self.place(keys, at, order)
        return value

    def persistent(self, key: Any) -> Any:
        """("storage", type, key, device, elements, view) or ("module", class, file, source)."""
        fields: list[Any] = list(key) if isinstance(key, tuple) and 2 <= len(key) <= 6 else [None]
        if fields[0] == "module" and isinstance(fields[1], Name):
            return fields[1]  # the source text of a saved class beside it: not needed
        if fields[0] != "storage" or len(fields) < 5:
            raise BadPickle(_("a reference that is no storage"))
        _storage, kind, name, _device, count, *view = fields
        name = str(name) if isinstance(name, str | int) else None
        if name is None or type(count) is not int or not 0 <= count < 1 << 48:
            raise BadPickle(_("a storage without a name or size"))
        storage = self.storage(name, storage_type(kind), count)
        return self.part(storage, view[0]) if view and view[0] is not None else storage

    def storage(self, name: str, dtype: str | None, count: int) -> Storage:
        known = self.storages.get(name)
        size = count * (1 if dtype is None else ITEM_SIZES[dtype])
        if known is None:
            if size > len(self.raw):
                raise self.damaged(
                    _("a storage of {size} bytes is announced in a file of {count}", size=size, count=len(self.raw))
                )
            known = Storage(name, dtype, size, lambda: self.raw[self.places[name] : self.places[name] + size])
            self.storages[name] = known
        if known.size != size or known.dtype != dtype:
            raise self.damaged(_("its storage {name} has two sizes or types", name=shown(name)))
        return known

    def part(self, whole: Storage, view: Any) -> Storage:
        """A storage that is a part of another: (key, offset, elements)."""
        if not isinstance(view, tuple) or len(view) != 3 or whole.dtype is None:
            raise BadPickle(_("a part of a storage that is described in another way"))
        _key, offset, count = view
        itemsize = ITEM_SIZES[whole.dtype]
        if (
            not all(type(number) is int and number >= 0 for number in (offset, count))
            or (offset + count) * itemsize > whole.size
        ):
            raise self.damaged(_("a part of its storage {name} lies outside it", name=shown(whole.name)))
        begin, end = offset * itemsize, (offset + count) * itemsize
        return Storage(whole.name, whole.dtype, end - begin, lambda: whole.view()[begin:end])

    def place(self, keys: Any, at: int, order: Any) -> None:
        """Finds the storages behind the pickles. Raises WeightsError unless all are there, with their sizes."""
        if not isinstance(keys, list):
            raise self.damaged(_("the list of its storages is missing"))
        for key in keys:
            storage = self.storages.get(str(key)) if isinstance(key, str | int) else None
            if storage is None or storage.name in self.places:
                raise self.damaged(_("its list of storages names one that no tensor uses"))
            itemsize = 1 if storage.dtype is None else ITEM_SIZES[storage.dtype]
            if at + 8 + storage.size > len(self.raw):
                raise self.damaged(_("it ends within storage {name}", name=shown(storage.name)))
            count = int.from_bytes(self.raw[at : at + 8], order)
            if count * itemsize != storage.size:
                raise self.damaged(
                    _(
                        "its storage {name} has {count} elements, and another number is announced",
                        name=shown(storage.name),
                        count=count,
                    )
                )
            self.places[storage.name] = at + 8
            storage.big_endian = order == "big"
            at += 8 + storage.size
        if set(self.places) != set(self.storages):
            raise self.damaged(_("a tensor's storage is missing"))


def read_torch_legacy(path: Path, raw: memoryview) -> StoredFile:
    """A file of an older torch.save: a state dict, a checkpoint or a whole model."""
    allowance = Allowance(str(path), len(raw))
    legacy = Legacy(raw, allowance)
    value = legacy.read()
    tree = TreeMaker(allowance, legacy.names.modules).make(value)
    return StoredFile(path, "torch legacy", tree.value, tree.layers, module_names(tree))
