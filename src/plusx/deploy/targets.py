"""The table of export targets: how each is written, read back by its own engine, and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plusx.deploy import to_onnx, to_openvino, to_torch
from plusx.deploy.config import RULES, ExportSource, TargetRules
from plusx.deploy.proof import LogitsFunction
from plusx.deploy.proof_images import ProofImages


@dataclass(frozen=True)
class ExportTarget:
    """`write` puts files into a folder, `read` gives the network they hold, `describe` adds metadata to them.

    `write_mixed` writes int8 with some layers in float, where the target can.
    """

    rules: TargetRules
    write: Callable[[ExportSource, Path, ProofImages | None], None]
    read: Callable[[Path, str], LogitsFunction]
    describe: Callable[[Path, Mapping[str, Any]], None]
    write_mixed: Callable[[ExportSource, Path, ProofImages, ProofImages, float], None] | None = None


TARGETS: dict[str, ExportTarget] = {
    "openvino": ExportTarget(
        RULES["openvino"], to_openvino.write, to_openvino.read, to_openvino.describe, to_openvino.write_mixed
    ),
    "onnx": ExportTarget(RULES["onnx"], to_onnx.write, to_onnx.read, to_onnx.describe, to_onnx.write_mixed),
    "torch-export": ExportTarget(RULES["torch-export"], to_torch.write, to_torch.read, to_torch.describe),
}
