"""Names of ops and keys of tensors in other ecosystems, from the templates of the dialects; inverses are derived."""

from __future__ import annotations

from collections.abc import Iterable

from plusx.errors import SpecError, unknown
from plusx.graph import Graph, Op, lower
from plusx.graph.kinds import GATES, NORMS
from plusx.graph.lower import Network
from plusx.i18n import _
from plusx.names.dialects import DIALECTS, Dialect
from plusx.names.roles import Role, roles

ECOSYSTEMS = tuple(dict.fromkeys(dialect.ecosystem for dialect in DIALECTS))


def names_of(network: Network, op_name: str) -> dict[str, str]:
    """The names of an op in other ecosystems: ecosystem to name, for those that have such an op.

    Raises GeometryError for an op that the network does not have.

    >>> names_of("resnet101", "layer3.22.conv2")["Caffe"]
    'res4b22_branch2b'
    """
    graph = lower(network)
    return all_names(graph, [graph[op_name].name])[op_name]


def all_names(network: Network, op_names: Iterable[str]) -> dict[str, dict[str, str]]:
    """`names_of` for several ops. Raises GeometryError for an op that the network does not have."""
    graph = lower(network)
    known, dialects = roles(graph), _dialects(graph)
    found: dict[str, dict[str, str]] = {}
    for op in (graph[name] for name in op_names):
        pairs = ((dialect.ecosystem, _name(dialect, op, known.get(op.name))) for dialect in dialects)
        found[op.name] = {ecosystem: name for ecosystem, name in pairs if name is not None}
    return found


def op_names(network: Network, ecosystem: str) -> dict[str, str]:
    """The op names of one ecosystem: ours to theirs. Raises SpecError for an unknown ecosystem."""
    graph = lower(network)
    dialect = _dialect(graph, ecosystem)
    known = roles(graph)
    named = ((op.name, _name(dialect, op, known.get(op.name))) for op in graph.ops) if dialect else ()
    return {ours: theirs for ours, theirs in named if theirs is not None}


def key_names(network: Network, ecosystem: str) -> dict[str, str]:
    """State-dict keys of one ecosystem: ours to theirs, for the tensors that it stores. Raises SpecError.

    >>> key_names("resnet50", "Keras")["layer3.0.downsample.1.running_var"]
    'conv4_block1_0_bn/moving_variance'
    """
    graph = lower(network)
    dialect = _dialect(graph, ecosystem)
    if dialect is None:
        return {}
    known, found = roles(graph), dict[str, str]()
    for op in graph.ops:
        name = _name(dialect, op, known.get(op.name))
        templates = dialect.tensors.get(_tensor_role(op), {})
        for tensor in op.tensors:
            if name is not None and tensor.name in templates:
                scale = f"scale{name.removeprefix('bn')}"
                found[f"{op.path}.{tensor.name}"] = templates[tensor.name].format(name=name, scale=scale)
    return found


def inverse(names: dict[str, str]) -> dict[str, str]:
    """The inverse mapping: theirs to ours. Raises SpecError where two of our names share one of theirs.

    >>> inverse({"conv1": "stem.conv1"})
    {'stem.conv1': 'conv1'}
    """
    found: dict[str, str] = {}
    for ours, theirs in names.items():
        if theirs in found:
            raise SpecError(
                _("{theirs} is the name of both {first} and {second}. Give the keys of tensors instead of the names of ops.",
                  theirs=theirs, first=found[theirs], second=ours)
            )  # fmt: skip
        found[theirs] = ours
    return found


def _tensor_role(op: Op) -> str:
    """The entry of `Dialect.tensors` for an op."""
    if op.kind in NORMS:
        return "norm"
    return "gate" if op.kind in GATES else op.kind


def _dialects(graph: Graph) -> list[Dialect]:
    return [dialect for dialect in DIALECTS if dialect.order == graph.spec.order]


def _dialect(graph: Graph, ecosystem: str) -> Dialect | None:
    if ecosystem not in ECOSYSTEMS:
        raise SpecError(unknown(_("ecosystem"), ecosystem, ECOSYSTEMS))
    return next((dialect for dialect in _dialects(graph) if dialect.ecosystem == ecosystem), None)


def _name(dialect: Dialect, op: Op, role: Role | None) -> str | None:
    if role is None:
        return None
    key = f"{role.role}, group" if op.kind == "group_norm" else role.role
    template = dialect.ops.get(key)
    if template is None or (op.kind in GATES and not _knows_gate(dialect, op)):
        return None
    return template.format(**role.numbers)


def _knows_gate(dialect: Dialect, op: Op) -> bool:
    return any(tensor.name in dialect.tensors["gate"] for tensor in op.tensors)
