"""Protocol buffers read as data: a bounded wire reader for ONNX and Caffe, without schemas and without protobuf.

Encoding: protobuf.dev/programming-guides/encoding. A field is a tag (number and wire type) and a value; nothing is copied,
a nested message is a slice of the file. Lengths are checked against what is left, fields and nesting are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.errors import WeightsError
from plusx.i18n import Message, _

MOST_FIELDS = 500_000
"""Fields in one file, nested ones included; a ResNet-152 as ONNX has some 20,000."""
MOST_DEPTH = 24
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_SIZE = {_FIXED64: 8, _FIXED32: 4}


@dataclass
class Budget:
    """What reading one file may still cost."""

    name: str
    fields: int = MOST_FIELDS

    def spend(self, count: int) -> None:
        self.fields -= count
        if self.fields < 0:
            raise WeightsError(
                _(
                    "{file} holds more than {most_fields} protobuf fields, far more than a network has. Check where it comes from.",
                    file=self.name,
                    most_fields=MOST_FIELDS,
                )
            )

    def damaged(self, why: Message) -> WeightsError:
        return WeightsError(
            _("{file} is damaged or is no protobuf file: {why}. Fetch it again.", file=self.name, why=why)
        )


class WireMessage:
    """One message: its fields by number, as they stand in the file; `int`, `text`, `floats`, … read them as a type."""

    def __init__(self, view: memoryview, budget: Budget, depth: int = 0) -> None:
        if depth > MOST_DEPTH:
            raise budget.damaged(_("messages are nested more than {most_depth} deep", most_depth=MOST_DEPTH))
        self.view, self.budget, self.depth = view, budget, depth
        self.fields: dict[int, list[tuple[int, Any]]] = {}
        position, count = 0, 0
        while position < len(view):
            count += 1
            if count % 4096 == 0:
                budget.spend(4096)
            position = self._field(position)
        budget.spend(count % 4096)

    def _field(self, at: int) -> int:
        tag, at = self._varint(at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise self.budget.damaged(_("a field has number 0"))
        value: Any
        if wire == _VARINT:
            value, at = self._varint(at)
        elif wire == _LENGTH or wire in _SIZE:
            size, at = self._varint(at) if wire == _LENGTH else (_SIZE[wire], at)
            if size > len(self.view) - at:
                raise self.budget.damaged(
                    _(
                        "field {number} claims {size} bytes where {count} are left",
                        number=number,
                        size=size,
                        count=len(self.view) - at,
                    )
                )
            value, at = self.view[at : at + size], at + size
        else:
            raise self.budget.damaged(_("field {number} has wire type {wire}", number=number, wire=wire))
        self.fields.setdefault(number, []).append((wire, value))
        return at

    def _varint(self, at: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= len(self.view):
                raise self.budget.damaged(_("it ends within a number"))
            byte = self.view[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
        raise self.budget.damaged(_("a number has more than ten bytes"))

    def _wrong(self, number: int, wanted: Message) -> WeightsError:
        return self.budget.damaged(_("field {number} is not {wanted}", number=number, wanted=wanted))

    def has(self, number: int) -> bool:
        return number in self.fields

    def int(self, number: int, default: int = 0) -> int:
        """The last value of a varint field, signed."""
        if number not in self.fields:
            return default
        wire, value = self.fields[number][-1]
        if wire != _VARINT:
            raise self._wrong(number, _("a whole number"))
        return value - (1 << 64) if value >= 1 << 63 else value

    def float(self, number: int, default: float = 0.0) -> float:
        if number not in self.fields:
            return default
        wire, value = self.fields[number][-1]
        if wire != _FIXED32:
            raise self._wrong(number, _("a 32-bit float"))
        return float(np.frombuffer(value, "<f4")[0])

    def blocks(self, number: int) -> list[memoryview]:
        """Every value of a length-delimited field."""
        values = self.fields.get(number, [])
        if any(wire != _LENGTH for wire, _ in values):
            raise self._wrong(number, _("text, bytes or a message"))
        return [value for _, value in values]

    def texts(self, number: int) -> list[str]:
        try:
            return [str(block, "utf-8") for block in self.blocks(number)]
        except UnicodeDecodeError:
            raise self._wrong(number, _("text in UTF-8")) from None

    def text(self, number: int, default: str = "") -> str:
        found = self.texts(number)
        return found[-1] if found else default

    def messages(self, number: int) -> list[WireMessage]:
        return [WireMessage(block, self.budget, self.depth + 1) for block in self.blocks(number)]

    def message(self, number: int) -> WireMessage:
        """The last value of a message field; an empty message where there is none."""
        found = self.blocks(number)
        return WireMessage(found[-1] if found else memoryview(b""), self.budget, self.depth + 1)

    def fixed(self, number: int, dtype: str) -> NDArray[Any]:
        """A repeated float or double field, packed or one by one."""
        kind = np.dtype(dtype)
        wires = {wire for wire, _ in self.fields.get(number, [])}
        alone = _FIXED32 if kind.itemsize == 4 else _FIXED64
        if not wires <= {_LENGTH, alone}:
            raise self._wrong(number, _("a list of {name}", name=kind.name))
        parts = [value for _, value in self.fields.get(number, [])]
        if any(len(part) % kind.itemsize for part in parts):
            raise self.budget.damaged(_("field {number} is no whole number of {name}", number=number, name=kind.name))
        if len(parts) == 1:
            return np.frombuffer(parts[0], kind)
        return np.frombuffer(b"".join(parts), kind)

    def floats(self, number: int) -> NDArray[np.float32]:
        return self.fixed(number, "<f4")

    def ints(self, number: int) -> NDArray[np.int64]:
        """A repeated varint field, packed or one by one, signed."""
        parts: list[NDArray[np.uint64]] = []
        for wire, value in self.fields.get(number, []):
            if wire == _VARINT:
                parts.append(np.array([value], np.uint64))
            elif wire == _LENGTH:
                parts.append(self._packed(value))
            else:
                raise self._wrong(number, _("a list of whole numbers"))
        whole = np.concatenate(parts) if parts else np.zeros(0, np.uint64)
        return whole.view(np.int64)

    def _packed(self, view: memoryview) -> NDArray[np.uint64]:
        data = np.frombuffer(view, np.uint8)
        ends = np.flatnonzero(data < 0x80)
        if len(data) and (not len(ends) or ends[-1] != len(data) - 1):
            raise self.budget.damaged(_("a list of numbers ends within a number"))
        starts = np.concatenate([np.zeros(1, ends.dtype), ends[:-1] + 1]) if len(ends) else ends
        lengths = ends - starts + 1
        if len(lengths) and lengths.max() > 10:
            raise self.budget.damaged(_("a number has more than ten bytes"))
        values = np.zeros(len(ends), np.uint64)
        for place in range(int(lengths.max()) if len(lengths) else 0):
            rows = np.flatnonzero(lengths > place)
            values[rows] |= (data[starts[rows] + place].astype(np.uint64) & np.uint64(0x7F)) << np.uint64(7 * place)
        return values
