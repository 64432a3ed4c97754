"""A zip archive read as data: its directory checked as a whole first, entries stored as they are stay in the mapped file.

Format: APPNOTE 6.3.10 (pkware), sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16 (its end, and zip64).
Python's zipfile is not used: it builds the whole directory before a caller can say how much is too much.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from plusx.errors import WeightsError
from plusx.i18n import Message, _
from plusx.pickles import release
from plusx.weights.containers.mapped_file import shown

MAGIC = b"PK\x03\x04"
MOST_ENTRIES = 50_000
_LOCAL, _CENTRAL, _END, _END64, _LOCATOR64 = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_STORED, _DEFLATED, _ENCRYPTED = 0, 8, 0x2041  # flag bits 0 (encrypted), 6 (strongly), 13 (masked headers)
_SPARE = 8 << 20
"""Text in an archive (code, graphs) packs tightly: so much may be unpacked beyond the size of the file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive: where its bytes lie."""

    name: str
    start: int
    packed: int
    size: int
    deflated: bool
    crc: int


class Zip:
    """A checked archive over mapped bytes. `entries` by name, in the order of the directory."""

    def __init__(self, raw: memoryview, file: str) -> None:
        self.raw, self.file = raw, file
        self.entries: dict[str, Entry] = {}
        self.checked: set[str] = set()
        self.last: tuple[str, memoryview] | None = None
        try:
            self._read_directory()
        except struct.error as error:
            raise self.damaged(_("its directory ends early")) from error
        self._check()
        # torch can be told to write none (torch.serialization.set_crc32_options); then every field is zero
        self.has_sums = any(entry.crc for entry in self.entries.values())

    def damaged(self, why: Message) -> WeightsError:
        return WeightsError(_("{file} is a damaged zip archive: {why}. Fetch it again.", file=self.file, why=why))

    def view(self, name: str) -> memoryview:
        """The bytes of an entry: of the file itself where it is stored, unpacked and checked where it is deflated."""
        entry = self.entries[name]
        packed = self.raw[entry.start : entry.start + entry.packed]
        if not entry.deflated:
            if self.has_sums and name not in self.checked:
                self.checked.add(name)
                if zlib.crc32(packed) != entry.crc:
                    raise self.damaged(_("{name} does not have its checksum", name=shown(name)))
            return packed
        if self.last is not None and self.last[0] == name:
            return self.last[1]
        machine = zlib.decompressobj(-15)
        try:
            plain = machine.decompress(packed, entry.size + 1)
        except zlib.error as error:
            raise self.damaged(_("{name} cannot be unpacked", name=shown(name))) from error
        if len(plain) != entry.size or zlib.crc32(plain) != entry.crc:
            raise self.damaged(_("{name} does not unpack to its {size} bytes", name=shown(name), size=entry.size))
        release(packed)
        self.last = (name, memoryview(plain))
        return self.last[1]

    def _read_directory(self) -> None:
        raw = self.raw
        tail = bytes(raw[-65_557:])  # the end record has 22 bytes and a comment of at most 65,535
        found = tail.rfind(_END)
        if found < 0:
            raise WeightsError(
                _(
                    "{file} is a zip archive whose directory is missing, so it was cut short. Fetch it again.",
                    file=self.file,
                )
            )
        end = len(raw) - len(tail) + found
        _sign, disk, _start, _here, count, size, at, _note = struct.unpack_from("<4sHHHHIIH", raw, end)
        if disk not in (0, 0xFFFF):
            raise WeightsError(_("{file} is one part of an archive in several parts. Join them first.", file=self.file))
        base_end = end
        if bytes(raw[max(0, end - 20) : max(0, end - 16)]) == _LOCATOR64:  # torch writes it for small files too
            count, size, at, base_end = self._zip64(end)
        if at + size != base_end:
            raise self.damaged(_("its directory is not where its end says"))
        if count > MOST_ENTRIES or size < 46 * count:
            raise self.damaged(_("it announces {count} entries in a directory of {size} bytes", count=count, size=size))
        for _number in range(count):
            at = self._read_entry(at, base_end)
        if at != base_end:
            raise self.damaged(_("its directory has another length than announced"))

    def _zip64(self, end: int) -> tuple[int, int, int, int]:
        (at64,) = struct.unpack_from("<Q", self.raw, end - 12)
        if at64 + 56 > end or bytes(self.raw[at64 : at64 + 4]) != _END64:
            raise self.damaged(_("the second part of its end is missing"))
        count, size, at = struct.unpack_from("<QQQ", self.raw, at64 + 32)
        return count, size, at, at64

    def _read_entry(self, at: int, end: int) -> int:
        if at + 46 > end:
            raise self.damaged(_("its directory ends early"))
        fields = struct.unpack_from("<4sHHHHHHIIIHHHHHII", self.raw, at)
        sign, flags, method, crc, packed, size = fields[0], fields[3], fields[4], *fields[7:10]
        name_size, extra_size, note_size, header = *fields[10:13], fields[16]
        after = at + 46 + name_size + extra_size + note_size
        if sign != _CENTRAL or after > end:
            raise self.damaged(_("an entry of its directory is broken"))
        name = bytes(self.raw[at + 46 : at + 46 + name_size]).decode("utf-8", "replace")
        extra = self.raw[at + 46 + name_size : at + 46 + name_size + extra_size]
        size, packed, header = _wide(extra, size, packed, header)
        if flags & _ENCRYPTED:
            raise WeightsError(
                _("{file} is encrypted. Unpack it with its password and pack it again without one.", file=self.file)
            )
        if method not in (_STORED, _DEFLATED):
            raise WeightsError(
                _(
                    "{file} packs {name} with method {method}, which is not read. Pack it again without compression.",
                    file=self.file,
                    name=shown(name),
                    method=method,
                )
            )
        if name in self.entries:
            raise self.damaged(_("it holds {name} twice", name=shown(name)))
        if method == _STORED and size != packed:
            raise self.damaged(_("{name} is stored and has two sizes", name=shown(name)))
        self.entries[name] = Entry(name, self._data_start(header, name), packed, size, method == _DEFLATED, crc)
        return after

    def _data_start(self, header: int, name: str) -> int:
        if header + 30 > len(self.raw) or bytes(self.raw[header : header + 4]) != _LOCAL:
            raise self.damaged(_("{name} is not where the directory says", name=shown(name)))
        name_size, extra_size = struct.unpack_from("<HH", self.raw, header + 26)
        local = bytes(self.raw[header + 30 : header + 30 + name_size]).decode("utf-8", "replace")
        if local != name:
            raise self.damaged(_("{name} has another name in the directory than at its place", name=shown(name)))
        return header + 30 + name_size + extra_size

    def _check(self) -> None:
        """No entry reaches outside the file or into another, and all together unpack to little more than the file."""
        total, before = 0, 0
        for entry in sorted(self.entries.values(), key=lambda entry: (entry.start, entry.packed)):
            if entry.start + entry.packed > len(self.raw):
                raise self.damaged(_("{name} reaches outside the file", name=shown(entry.name)))
            if entry.start < before:
                raise self.damaged(_("{name} overlaps another entry", name=shown(entry.name)))
            before = entry.start + entry.packed
            total += entry.size
        if total > len(self.raw) * 3 // 2 + _SPARE:
            raise WeightsError(
                _(
                    "{file} has {count} bytes and would unpack to {total}. Pack it again without compression if you trust it.",
                    file=self.file,
                    count=len(self.raw),
                    total=total,
                )
            )


def _wide(extra: memoryview, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """The three numbers, those that did not fit in 32 bits from the zip64 field (0x0001)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            piece, place, out = extra[at + 4 : at + 4 + length], 0, []
            for value in (size, packed, header):
                if value == 0xFFFFFFFF:
                    (value,) = struct.unpack_from("<Q", piece, place)
                    place += 8
                out.append(value)
            return out[0], out[1], out[2]
        at += 4 + length
    return size, packed, header
