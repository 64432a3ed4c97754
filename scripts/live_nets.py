"""The networks that run in the page: src/plusx/explorer/page/live/nets, made from the four trainings that nets.json names.

python scripts/live_nets.py RUNS COMMIT     RUNS holds resnet20-digits, plain20-digits, resnet20-fashion and plain20-fashion,
                                            trained by plusx at that commit

All four networks are one ONNX file. It has no weights: they are inputs under their state-dict names, as the scales of each
branch and each shortcut are. ResNet-20 and plain-20 differ by the shortcut alone, and option A has no weights, so a plain
network is the same file with shortcut scales of 0; two swapped blocks are their weights under each other's names.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from safetensors.numpy import save

import plusx
from plusx.analysis import analyse
from plusx.bundles import Bundle, open_bundle
from plusx.bundles.run import read_run
from plusx.data import Data, open_data
from plusx.graph import Graph, Op, lower
from plusx.images import Preprocessing, normalise

NETS = Path(__file__).resolve().parents[1] / "src/plusx/explorer/page/live/nets"
WORDS = "resnet20 in_channels=1 classes=10"
FAMILIES = {"residual": "resnet20", "plain": "plain20"}
DATA = {"digits": ("digits", 8), "fashion": ("fashion-mnist", 28)}
"""The short name of a data set: its name for `plusx train --data`, and the side of its images."""
OF_EACH_CLASS = 20
OPSET = 17
EPSILON = 1e-5
"""Of torch.nn.BatchNorm2d."""
END = np.iinfo(np.int64).max


# ---- the one ONNX file ----


class OnnxWriter:
    """Collects the nodes of a network, op by op; every number comes from the op."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.weights: list[Any] = []

    def node(self, kind: str, inputs: Iterable[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, *values: int) -> str:
        name = "int64." + ".".join(map(str, values))
        self.constants[name] = helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
        return name

    def tensors(self, op: Op) -> list[str]:
        """The names of the op's weights, which become inputs of the network."""
        wanted = [tensor for tensor in op.tensors if tensor.shape]  # all but num_batches_tracked
        names = [f"{op.path}.{tensor.name}" for tensor in wanted]
        self.weights += [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, tensor.shape)
            for name, tensor in zip(names, wanted, strict=True)
        ]
        return names

    def run(self, ops: Iterable[Op], x: str) -> str:
        for op in ops:
            x = getattr(self, op.kind)(op, x)
        return x

    def conv(self, op: Op, x: str) -> str:
        geometry: dict[str, Any] = {"strides": [op.stride] * 2, "dilations": [op.dilation] * 2, "group": op.groups}
        return self.node("Conv", [x, *self.tensors(op)], op.name, pads=[op.padding] * 4, **geometry)

    def batch_norm(self, op: Op, x: str) -> str:
        return self.node("BatchNormalization", [x, *self.tensors(op)], op.name, epsilon=EPSILON)

    def relu(self, op: Op, x: str) -> str:
        return self.node("Relu", [x], op.name)

    def zero_pad(self, op: Op, x: str) -> str:
        """Option A: every stride-th cell, and channels of zeros."""
        ends, axes = self.constant(END, END), self.constant(2, 3)
        x = self.node(
            "Slice", [x, self.constant(0, 0), ends, axes, self.constant(op.stride, op.stride)], f"{op.name}.cells"
        )
        behind = op.c_out - op.c_in - op.padding
        return self.node("Pad", [x, self.constant(0, op.padding, 0, 0, 0, behind, 0, 0)], op.name)

    def global_avg_pool(self, op: Op, x: str) -> str:
        return self.node("Flatten", [self.node("GlobalAveragePool", [x], f"{op.name}.mean")], op.name)

    def linear(self, op: Op, x: str) -> str:
        return self.node("Gemm", [x, *self.tensors(op)], "logits", transB=1)


def scaled_network(words: str = WORDS) -> onnx.ModelProto:
    """images (n, 1, h, w) and weights to logits and the map of the stem and of each block; a block is
    relu(branch_scale · F(x) + shortcut_scale · shortcut(x))."""
    graph, to = lower(plusx.spec(words)), OnnxWriter()
    blocks = [block for stage in graph.stages for block in stage.blocks]
    scales = {"branch_scale": [f"{block.name}.branch_scale" for block in blocks]}
    scales["shortcut_scale"] = [f"{block.name}.shortcut_scale" for block in blocks]
    for name, parts in scales.items():
        to.nodes.append(helper.make_node("Split", [name, to.constant(*[1] * len(parts))], parts, name=name))
    x = to.node("Identity", [to.run(graph.stem, "images")], "stem")
    for i, block in enumerate(blocks):
        branch = to.run(block.branch, x)
        branch = to.node("Mul", [branch, scales["branch_scale"][i]], f"{block.name}.scaled_branch")
        shortcut = to.run(block.shortcut, x)
        shortcut = to.node("Mul", [shortcut, scales["shortcut_scale"][i]], f"{block.name}.scaled_shortcut")
        joined = to.node("Add", [branch, shortcut], f"{block.name}.add")
        x = to.node("Identity", [to.run(block.after, joined)], block.name)
    to.run(graph.head, x)
    return _model(graph, to, {"stem": graph.stem[-1].c_out, **{block.name: block.c_out for block in blocks}})


def _model(graph: Graph, to: OnnxWriter, maps: dict[str, int]) -> onnx.ModelProto:
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", graph.stem[0].c_in, "h", "w"])
    scales = [
        helper.make_tensor_value_info(f"{which}_scale", TensorProto.FLOAT, [len(maps) - 1])
        for which in ("branch", "shortcut")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", graph.c_out])]
    outputs += [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, f"{name}.h", f"{name}.w"])
        for name, channels in maps.items()
    ]
    drawn = helper.make_graph(
        to.nodes, "plusx", [images, *scales, *to.weights], outputs, initializer=list(to.constants.values())
    )
    model = helper.make_model(
        drawn, producer_name="plusx", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    return model


# ---- weights, images and what is said of them ----


Weights = dict[str, NDArray[np.float16]]


def half_weights(bundle: Bundle) -> Weights:
    """The weights that eval mode reads, rounded to 16 bits."""
    return {name: array.astype(np.float16) for name, array in bundle.weights().items() if array.shape}


def held_out(data: Data) -> NDArray[np.int64]:
    """The first 20 images of each class of the held-out part, in the order of the data set."""
    chosen = [np.flatnonzero(data.labels == label)[:OF_EACH_CLASS] for label in range(len(data.classes))]
    return np.sort(np.concatenate(chosen))


def idx(array: NDArray[np.uint8]) -> bytes:
    """An IDX file of bytes, as MNIST and its likes have them (yann.lecun.com/exdb/mnist, file formats)."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    return head + np.ascontiguousarray(array).tobytes()


def places(words: str = WORDS, size_px: int = 28) -> list[dict[str, Any]]:
    """The maps of the network, from analysis: the field of cell (row, column) spans low + row·stride to high + row·stride."""
    analysis, graph = analyse(plusx.spec(words), size_px), lower(plusx.spec(words))
    rows = {row.op.name: row for row in analysis.rows}
    ends = [("stem", graph.stem[-1], None)]
    ends += [(block.name, block.ops[-1], block) for stage in graph.stages for block in stage.blocks]
    made: list[dict[str, Any]] = []
    for name, op, block in ends:
        row = rows[op.name]
        assert row.start is not None and row.rf is not None
        place: dict[str, Any] = {"name": name, "channels": op.c_out, "stride": row.jump}
        place |= {"low": row.start - row.rf / 2, "high": row.start + row.rf / 2}
        if block is not None:  # blocks of one shape can change places
            place["shape"] = f"{block.c_in}-{block.c_out}"
        made.append(place)
    return made


def main(runs: Path, commit: str) -> None:
    NETS.mkdir(parents=True, exist_ok=True)
    nets: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for short, (source, side) in DATA.items():
        part = open_data(source).val
        assert part.images is not None
        chosen = held_out(part)
        images, labels = part.images[chosen, :, :, 0], part.labels[chosen].astype(np.uint8)
        for family, network in FAMILIES.items():
            nets[f"{network}-{short}"] = net_record(runs / f"{network}-{short}", family, part, commit)
        bundle = open_bundle(runs / f"resnet20-{short}" / "bundle")
        pre = bundle.preprocessing
        assert (pre.resize_px, pre.crop_px) == (side, side)
        data[short] = {
            "name": source,
            "side": side,
            "classes": list(part.classes),
            "held_out": len(part),
            "n": len(chosen),
            "mean": pre.mean[0],
            "std": pre.std[0],
            "images": stored(f"{short}-images.idx", idx(images)),
            "labels": stored(f"{short}-labels.idx", idx(labels)),
        }
    about = {
        "schema": "plusx.nets/1",
        "graph": stored("scaled.onnx", scaled_network().SerializeToString(deterministic=True)),
        "places": places(),
        "data": data,
        "nets": nets,
    }
    (NETS / "nets.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def net_record(folder: Path, family: str, part: Data, commit: str) -> dict[str, Any]:
    """Writes the weights of a finished training and returns what nets.json says of them."""
    run, bundle = read_run(folder), open_bundle(folder / "bundle")
    half = half_weights(bundle)
    right = measured(half, family, part, bundle.preprocessing) == part.labels
    return {
        "family": family,
        "data": folder.name.split("-")[1],
        "network": run.network,
        "weights": stored(f"{folder.name}.safetensors", save(half)),
        "command": shlex.join(["plusx", *run.command[1 : run.command.index("--out")]]),
        "commit": commit,
        "precision": bundle.provenance.precision,
        "versions": dict(run.versions),
        "n": bundle.metrics["n"],
        "correct": bundle.metrics["correct"],
        "correct_16_bit": int(right.sum()),
        "correct_of_shipped": int(right[held_out(part)].sum()),
    }


def measured(weights: Weights, family: str, part: Data, pre: Preprocessing) -> NDArray[np.int64]:
    """The class that the network of the page gives each image."""
    import onnxruntime

    assert part.images is not None
    session = onnxruntime.InferenceSession(scaled_network().SerializeToString(), providers=["CPUExecutionProvider"])
    given = {name: array.astype(np.float32) for name, array in weights.items()}
    ones = np.ones(len(places()) - 1, np.float32)
    given |= {"branch_scale": ones, "shortcut_scale": ones * (family == "residual")}
    batches = np.array_split(normalise(part.images, pre), -(-len(part) // 100))
    logits: list[Any] = [session.run(["logits"], {"images": batch, **given})[0] for batch in batches]
    return np.concatenate(logits).argmax(1)


def stored(name: str, content: bytes) -> dict[str, Any]:
    (NETS / name).write_bytes(content)
    return {"file": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
