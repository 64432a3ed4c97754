"""The table of kinds: every kind is complete in every place, and reads the fields that it says it reads."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest

from plusx.graph import Op, lower
from plusx.graph.kinds import GATES, JOINS, KINDS
from plusx.names import key_names
from plusx.specs import keys
from plusx.text.notation import op_text
from plusx.text.torch_print import leaf

# together these networks hold every kind, and every field that a kind reads away from its default
COVER = [
    "resnet50 stem_pool=caffe", "resnext50_32x4d output_stride=8", "resnet18 norm=none", "resnet18 norm=group16",
    "resnet18 norm=frozen", "resnet50d", "resnet50d output_stride=8", "resnet50d output_stride=8 dilate=previous",
    "resnet18 shortcut=A shortcut_align=centre", "resnet18 drop_path=0.1 block_dropout=0.1 head_dropout=0.2",
    *(f"resnet18 act={word}" for word in keys.ACTIVATIONS),
    *(f"resnet18 gate={word} output_stride=8" for word in keys.GATES), *(f"resnet18 join={word}" for word in keys.JOINS),
]  # fmt: skip
FREE = ("name", "path", "kind", "c_in", "c_out", "tensors")


def covering_ops() -> list[Op]:
    return [op for words in COVER for op in lower(words).ops]


def holds(table: object, kind: str) -> bool:
    return kind in table  # type: ignore[operator]


def says(write: Callable[[Op], object], kind: str) -> bool:
    try:
        return bool(write(Op("x", "x", kind, 8, 8)))
    except KeyError:
        return False


def named_by_timm(kind: str) -> bool:
    """All or none of a gate's tensors: a gate that no ecosystem has needs no name, one that has some needs all."""
    ours = {key for key, _ in lower(f"resnet18 gate={kind}").tensors() if ".se." in key}
    known = ours & key_names(f"resnet18 gate={kind}", "timm").keys()
    return not known or known == ours


def missing(kind: str) -> list[str]:
    """The places beside `graph.kinds` where a kind is not yet known."""
    role = KINDS[kind].role
    words = {"gate": keys.GATES, "join": keys.JOINS, "activation": keys.ACTIVATIONS}
    found: list[str] = []
    if role in words and not holds(words[role], kind):
        found.append("specs.keys")
    elif role == "gate" and not named_by_timm(kind):
        found.append("names.dialects")
    if not says(op_text, kind):
        found.append("text.notation")
    if role != "join" and not says(leaf, kind):
        found.append("text.torch_print")
    if importlib.util.find_spec("torch"):
        from plusx.nn import blocks, layers

        if not holds(blocks.JOINS if role == "join" else layers.MAKERS, kind):
            found.append("nn.blocks" if role == "join" else "nn.layers")
    if importlib.util.find_spec("openvino"):
        from plusx.runtime import lowering

        if kind != "conv" and not holds(lowering.JOINED if role == "join" else lowering.LOWERED, kind):
            found.append("runtime.lowering")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_known_everywhere(kind: str):
    assert missing(kind) == []


@pytest.mark.parametrize(
    ("like", "where"),
    [
        ("se", ["specs.keys", "text.notation", "text.torch_print", "nn.layers", "runtime.lowering"]),
        ("relu", ["specs.keys", "text.notation", "text.torch_print", "nn.layers", "runtime.lowering"]),
        ("batch_norm", ["text.notation", "text.torch_print", "nn.layers", "runtime.lowering"]),
        ("add", ["specs.keys", "text.notation", "nn.blocks", "runtime.lowering"]),
    ],
)
def test_a_new_kind_is_told_where_it_is_missing(like: str, where: list[str], monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("torch")
    pytest.importorskip("openvino")
    monkeypatch.setitem(KINDS, "new", KINDS[like])
    assert missing("new") == where


def test_the_words_of_the_language_are_kinds():
    assert tuple(GATES) == tuple(word for word in keys.GATES if word != "none")
    assert keys.JOINS == JOINS
    assert {word for word, squeezes in keys.GATES.items() if squeezes} == {n for n, g in GATES.items() if g.squeezes}


def test_ops_leave_the_fields_that_their_kind_does_not_read_at_the_defaults():
    assert {op.kind for op in covering_ops()} == set(KINDS)
    for op in covering_ops():
        moved = {name for name, value in Op("", None, "", 0, 0)._asdict().items() if getattr(op, name) != value}
        assert moved - set(FREE) <= set(KINDS[op.kind].reads), op


def test_fields_that_a_kind_reads_are_used():
    plain = Op("", None, "", 0, 0)
    for name, kind in KINDS.items():
        for field in kind.reads:
            values = {getattr(op, field) for op in covering_ops() if op.kind == name}
            assert values - {getattr(plain, field)}, (name, field)


def test_gates_are_told_apart_by_their_first_tensor():
    firsts = [gate.first for gate in GATES.values()]
    for name, gate in GATES.items():
        held = [tensor.name for tensor in lower(f"resnet18 gate={name}")["layer1.0.se"].tensors]
        assert gate.first in held
        assert [first for first in firsts if first in held] == [gate.first]


# arXiv 1709.01507 (SE, r 16), 1910.03151 (ECA: k = 5 at 128 and 256 channels), 1807.06521 (CBAM, 7x7 over two maps)
@pytest.mark.parametrize(
    ("words", "op", "params", "macs"),
    [
        ("resnet50 gate=se", "layer1.0.se", 256 * 16 + 16 + 16 * 256 + 256, 2 * 256 * 16),
        ("resnet18 gate=eca", "layer2.0.se", 5, 5 * 128),
        ("resnet50 gate=eca", "layer1.0.se", 5, 5 * 256),
        ("resnet50 gate=cbam", "layer1.0.se", 2 * 256 * 16 + 7 * 7 * 2 + 2, 4 * 256 * 16 + 7 * 7 * 2 * 56 * 56),
        ("resnet50 gate=cbam norm=none", "layer1.0.se", 2 * 256 * 16 + 7 * 7 * 2 + 1, 4 * 256 * 16 + 98 * 56 * 56),
    ],
)
def test_gates_count_what_their_papers_say(words: str, op: str, params: int, macs: int):
    from plusx import analyse

    row = analyse(words, 224)[op]
    assert (row.params, row.macs) == (params, macs)
