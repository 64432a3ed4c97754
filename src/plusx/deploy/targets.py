"""What can be exported to: how each is written, read back by its own engine, and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plusx.bundles import Bundle
from plusx.deploy import to_onnx, to_openvino, to_torch
from plusx.deploy.proof import Network
from plusx.deploy.proof_images import Images


@dataclass(frozen=True)
class Source:
    """What a writer needs: the bundle, (height, width) of the input or None for any, and the precision."""

    bundle: Bundle
    size: tuple[int, int] | None
    precision: str


@dataclass(frozen=True)
class Target:
    """`write` puts files into a folder, `read` gives the network they hold, `describe` adds metadata to them.

    `rescue` writes anew with some layers in float, where that is known.
    """

    precisions: tuple[str, ...]
    layouts: tuple[str, ...]
    write: Callable[[Source, Path, Images | None], None]
    read: Callable[[Path, str], Network]
    describe: Callable[[Path, Mapping[str, Any]], None]
    rescue: Callable[[Source, Path, Images, Images, float], None] | None = None
    why_not: str = ""


TARGETS: dict[str, Target] = {
    "openvino": Target(
        ("fp32", "bf16", "int8"), ("plain", "triton", "ovms", "kserve"),
        to_openvino.write, to_openvino.read, to_openvino.describe, to_openvino.rescue,
    ),
    "onnx": Target(
        ("fp32", "int8"), ("plain", "triton", "ovms", "kserve"), to_onnx.write, to_onnx.read, to_onnx.describe,
        to_onnx.rescue, why_not="ONNX Runtime has no bf16 convolutions on CPUs",
    ),
    "torch-export": Target(
        ("fp32", "bf16"), ("plain",), to_torch.write, to_torch.read, to_torch.describe,
        why_not="torch has no int8 of its own any more",
    ),
}  # fmt: skip
