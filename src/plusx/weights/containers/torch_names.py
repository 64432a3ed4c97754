"""torch's part of a pickle's vocabulary: tensors from storages, small types as text. Everything else of torch stays inert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plusx.errors import WeightsError
from plusx.i18n import _
from plusx.pickles import BadPickle, Inert, Made, Name, NumpyNames, Vocabulary, call
from plusx.weights.containers.tensors import ITEM_SIZES, Allowance, Storage, strided
from plusx.weights.stored import StoredTensor

STORAGES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
    "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64",
    "ComplexDouble": "complex128", "QInt8": "int8", "QUInt8": "uint8", "QInt32": "int32",
}  # fmt: skip
_SHORT = {"half": "float16", "float": "float32", "double": "float64", "short": "int16", "int": "int32", "long": "int64"}
_DICTIONARIES = ("collections.OrderedDict", "builtins.dict", "__builtin__.dict")
_SEQUENCES = tuple(
    f"{module}.{kind}" for module in ("builtins", "__builtin__") for kind in ("list", "tuple", "set", "frozenset")
)
_MOST_PAIRS = 1_000_000


def storage_type(name: Any) -> str | None:
    """The element type of a storage class; None for one without a type. Raises BadPickle for another class."""
    last = name.name.rpartition(".")[2] if isinstance(name, Name) and name.name.startswith("torch.") else ""
    if last.removeprefix("_") == "UntypedStorage":
        return None
    kind = STORAGES.get(last.removesuffix("Storage"))
    if kind is None or not last.endswith("Storage"):
        raise BadPickle(_("a tensor of a type that is not known here"))
    return kind


class TorchNames:
    """The makers for one file. `allowance` bounds what its tensors may ask for."""

    def __init__(self, allowance: Allowance, nested: Callable[[bytes | memoryview], Any] | None = None) -> None:
        self.allowance, self.nested = allowance, nested
        self.modules: dict[int, tuple[Any, list[str]]] = {}
        """By a state dict's id: itself, and the paths of all modules of the network, those without tensors too."""
        self.pairs = 0
        self.known = self._makers()

    def vocabulary(self, persistent: Callable[[Any], Any] | None = None) -> Vocabulary:
        return Vocabulary(self.known, persistent, self.built)

    def built(self, made: Any, state: Any) -> None:
        """A state dict carries `_metadata`, in which each module has its version."""
        found = state.get("_metadata") if isinstance(made, dict) and isinstance(state, dict) else None
        if isinstance(found, dict):
            self.modules[id(made)] = (made, [name for name in found if isinstance(name, str)])

    def _makers(self) -> dict[str, Callable[[tuple[Any, ...]], Any]]:
        utils = {
            "_rebuild_tensor": self.tensor, "_rebuild_tensor_v2": self.tensor, "_rebuild_tensor_v3": self.typed_tensor,
            "_rebuild_parameter": _first_tensor, "_rebuild_parameter_with_state": _first_tensor,
            "_rebuild_device_tensor_from_numpy": lambda args: args[0], "_rebuild_meta_tensor_no_storage": self.meta,
        }  # fmt: skip
        return {
            **NumpyNames().makers(),
            **dict.fromkeys(_DICTIONARIES, self.dictionary),
            **dict.fromkeys(_SEQUENCES, _sequence),
            "collections.defaultdict": lambda args: {},
            **{f"torch._utils.{name}": maker for name, maker in utils.items()},
            "torch._tensor._rebuild_from_type_v2": self.from_type,
            "torch.nn.parameter.Parameter": _first_tensor,
            "torch.nn.parameter.Buffer": _first_tensor,
            "torch.autograd.variable.Variable": _first_tensor,
            "torch.Size": _sequence,
            "torch.device": _device,
            "torch.storage._load_from_bytes": self.load_from_bytes,
            "torch.jit._pickle.restore_type_tag": lambda args: args[0],
            **{f"torch.jit._pickle.build_{kind}list": _sequence for kind in ("int", "double", "bool", "tensor")},
        }

    def tensor(self, args: tuple[Any, ...]) -> StoredTensor:
        """(storage, offset, size, stride, …)."""
        storage, offset, size, stride = args[:4]
        if not isinstance(storage, Storage):
            raise TypeError
        if storage.dtype is None:
            raise BadPickle(_("a tensor of a storage without a type"))
        return strided(storage, storage.dtype, offset, size, stride, self.allowance)

    def typed_tensor(self, args: tuple[Any, ...]) -> StoredTensor | Inert:
        """(storage, offset, size, stride, requires_grad, hooks, dtype, …): for types that have no storage class."""
        storage, offset, size, stride = args[:4]
        if not isinstance(storage, Storage):
            raise TypeError
        return strided(storage, dtype_of(args[6]), offset, size, stride, self.allowance)

    def meta(self, args: tuple[Any, ...]) -> Any:
        raise WeightsError(
            _(
                "{file} holds tensors without values (torch's device meta). Save the model after its weights are loaded.",
                file=self.allowance.file,
            )
        )

    def from_type(self, args: tuple[Any, ...]) -> Any:
        """(function, type, arguments, state): a tensor of a subclass or with attributes; the plain tensor is what counts."""
        rebuild, _, given = args[:3]
        if not isinstance(rebuild, Name) or not rebuild.name.startswith("torch._utils._rebuild_"):
            raise TypeError
        return call(rebuild, given, self.known)

    def dictionary(self, args: tuple[Any, ...]) -> dict[Any, Any]:
        """A new dictionary, the one that is given, or one of pairs as Python 2 writes an OrderedDict."""
        given = args[0] if args else ()
        if isinstance(given, dict):
            return given
        self.pairs += len(given)
        if self.pairs > _MOST_PAIRS:
            raise BadPickle(_("more than {most_pairs} entries of dictionaries", most_pairs=_MOST_PAIRS))
        if not all(
            isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str | int) for pair in given
        ):
            raise TypeError
        return dict(given)

    def load_from_bytes(self, args: tuple[Any, ...]) -> Any:
        """A torch file within a pickle: how pickle.dump writes tensors."""
        raw = args[0]
        if self.nested is None or not isinstance(raw, bytes | memoryview):
            raise TypeError
        return self.nested(raw)


def dtype_of(name: Any) -> str:
    """The element type that `torch.float32` and the like name. Raises TypeError."""
    last = name.name.removeprefix("torch.") if isinstance(name, Name) else ""
    last = _SHORT.get(last, last)
    if last not in ITEM_SIZES:
        raise TypeError
    return last


def _first_tensor(args: tuple[Any, ...]) -> Any:
    if not isinstance(args[0], StoredTensor | Made | Inert):
        raise TypeError
    return args[0]


def _device(args: tuple[Any, ...]) -> str:
    if not all(isinstance(part, str | int) for part in args) or not args:
        raise TypeError
    return ":".join(str(part)[:20] for part in args[:2])


def _sequence(args: tuple[Any, ...]) -> Any:
    """The list or tuple that is given, itself; a new list without one."""
    given = args[0] if args else []
    if not isinstance(given, list | tuple):
        raise TypeError
    return given
