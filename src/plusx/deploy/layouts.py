"""Directories in the layouts that model servers load."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from plusx.deploy.config import ExportConfig
from plusx.deploy.layout_readme import layout_readme, service_name
from plusx.errors import SpecError
from plusx.i18n import _

Files = Mapping[str, bytes]
MAX_BATCH = 16
_DELAY_US = 2000


def laid_out(layout: str, name: str, config: ExportConfig, about: Mapping[str, Any], files: Files) -> dict[str, bytes]:
    """Path → bytes of the directory for a layout; `name` is the model's name there. Raises SpecError."""
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise SpecError(
            _("-o …/{name} is also the model's name on the server. Use letters, digits, - and _ only.", name=name)
        )
    tree = WRITERS[layout](name, config, about, files)
    return tree if layout == "plain" else {**tree, "README.md": layout_readme(layout, name, about).encode()}


def _labels(about: Mapping[str, Any]) -> bytes:
    """One class a line. Line breaks in a name become spaces, since they would shift all labels after it."""
    return "".join(" ".join(name.split()) + "\n" for name in about["classes"]).encode()


def _plain(name: str, config: ExportConfig, about: Mapping[str, Any], files: Files) -> dict[str, bytes]:
    return {**files, "labels.txt": _labels(about)}


def _triton(name: str, config: ExportConfig, about: Mapping[str, Any], files: Files) -> dict[str, bytes]:
    """A Triton model repository (server docs, model_repository.md and model_configuration.md)."""
    tree = {f"{name}/1/{path}": content for path, content in files.items()}
    tree[f"{name}/labels.txt"] = _labels(about)
    tree[f"{name}/config.pbtxt"] = triton_config(name, config, about).encode()
    return tree


def triton_config(name: str, config: ExportConfig, about: Mapping[str, Any]) -> str:
    """config.pbtxt: dims without the batch, since max_batch_size implies that the first axis is the batch."""
    side, channels = about["preprocessing_before"]["crop_px"], len(about["preprocessing_inside"]["mean"])
    edge = -1 if config.dynamic or side is None else side
    openvino = config.to == "openvino"
    parameters = (
        {"NUM_STREAMS": "AUTO", **({"HINT_BF16": "YES"} if config.precision == "bf16" else {})} if openvino else {}
    )
    lines = [
        f'name: "{name}"',
        f'backend: "{"openvino" if openvino else "onnxruntime"}"',
        f'default_model_filename: "{"model.xml" if openvino else "model.onnx"}"',
        f"max_batch_size: {MAX_BATCH}",
        f'input [ {{ name: "images" data_type: TYPE_UINT8 dims: [ {edge}, {edge}, {channels} ] }} ]',
        f'output [ {{ name: "{about["output"]["name"]}" data_type: TYPE_FP32 dims: [ {len(about["classes"])} ] label_filename: "labels.txt" }} ]',
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
        f"dynamic_batching {{ max_queue_delay_microseconds: {_DELAY_US} }}",
        *(f'parameters: {{ key: "{key}" value: {{ string_value: "{value}" }} }}' for key, value in parameters.items()),
    ]
    return "\n".join(lines) + "\n"


def _ovms(name: str, config: ExportConfig, about: Mapping[str, Any], files: Files) -> dict[str, bytes]:
    """OpenVINO Model Server: NAME/1/ with the network, and config.json with a path relative to itself."""
    hint = "bf16" if config.precision == "bf16" else "f32"
    model = {
        "name": name,
        "base_path": name,
        "plugin_config": {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": hint},
    }
    whole = {"model_config_list": [{"config": model}]}
    tree = {f"{name}/1/{path}": content for path, content in files.items()}
    return {**tree, "labels.txt": _labels(about), "config.json": (json.dumps(whole, indent=1) + "\n").encode()}


def _kserve(name: str, config: ExportConfig, about: Mapping[str, Any], files: Files) -> dict[str, bytes]:
    """KServe: Triton's repository, and an InferenceService that names its runtime (KServe docs, v1beta1/triton)."""
    service = f"""\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {service_name(name)}
spec:
  predictor:
    model:
      modelFormat:
        name: {"triton" if config.to == "openvino" else "onnx"}
      runtime: kserve-tritonserver
      protocolVersion: v2
      storageUri: pvc://models  # where the folder beside this file was copied to
"""
    return {
        **{f"models/{path}": c for path, c in _triton(name, config, about, files).items()},
        "inferenceservice.yaml": service.encode(),
    }


WRITERS: dict[str, Callable[[str, ExportConfig, Mapping[str, Any], Files], dict[str, bytes]]] = {
    "plain": _plain,
    "triton": _triton,
    "ovms": _ovms,
    "kserve": _kserve,
}
