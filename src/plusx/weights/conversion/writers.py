"""One function a target: the file or directory that its system opens. Each returns the paths that it wrote."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.bundles.atomic import write_file
from plusx.errors import BundleError, MissingExtra, WeightsError
from plusx.i18n import _
from plusx.images import Preprocessing
from plusx.specs import ResNetSpec
from plusx.weights.conversion.target_systems import Converted

Tensors = Mapping[str, NDArray[Any]]


def safetensors_bytes(tensors: Tensors, metadata: dict[str, str]) -> bytes:
    """safetensors bytes with text beside the tensors. Raises WeightsError for types that the format lacks."""
    from safetensors.numpy import save

    try:
        return save({key: np.asarray(values, order="C") for key, values in tensors.items()}, metadata=metadata)
    except (BundleError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            _("These tensors cannot be stored as safetensors ({name}). Give float32 ones.", name=type(error).__name__)
        ) from None


def plusx_metadata(spec: ResNetSpec, preprocessing: Preprocessing | None) -> dict[str, str]:
    """The metadata of plusx's own safetensors files, from which `identify` takes spec and preprocessing."""
    known = {} if preprocessing is None else {"plusx.preprocessing": json.dumps(preprocessing.to_dict())}
    return {"format": "pt", "plusx.spec": str(spec), **known}


def write_plusx(made: Converted, out: Path) -> list[Path]:
    """A safetensors file with its spec and preprocessing."""
    write_file(out, safetensors_bytes(made.tensors, plusx_metadata(made.spec, made.preprocessing)))
    return [out]


def write_state(made: Converted, out: Path) -> list[Path]:
    """A state dict: safetensors, or torch's own format."""
    if out.suffix == ".safetensors":
        write_file(out, safetensors_bytes(made.tensors, {"format": "pt"}))
        return [out]
    return _write_torch({}, made, out)


def write_openmmlab(made: Converted, out: Path) -> list[Path]:
    if out.suffix == ".safetensors":
        return write_state(made, out)
    return _write_torch({"meta": {"plusx": str(made.spec)}}, made, out)


def _write_torch(around: dict[str, Any], made: Converted, out: Path) -> list[Path]:
    try:
        import torch
    except ImportError:
        raise MissingExtra(
            _("{out} needs torch. Write a .safetensors file, or install plusx[train].", out=out)
        ) from None
    state = {key: torch.from_numpy(np.array(values)) for key, values in made.tensors.items()}
    buffer = io.BytesIO()
    torch.save({**around, "state_dict": state} if around else state, buffer)
    write_file(out, buffer.getvalue())
    return [out]


def write_detectron2(made: Converted, out: Path) -> list[Path]:
    """detectron2's model zoo: a pickle of arrays. `matching_heuristics` stays out, since names are whole."""
    tensors = {key: np.array(values) for key, values in made.tensors.items()}
    write_file(out, pickle.dumps({"model": tensors, "__author__": "plusx"}, protocol=2))
    return [out]


def write_huggingface(made: Converted, out: Path) -> list[Path]:
    """A directory with model.safetensors and config.json, as `ResNetForImageClassification.from_pretrained` opens it."""
    out.mkdir(parents=True, exist_ok=True)
    weights, config = out / "model.safetensors", out / "config.json"
    write_file(weights, safetensors_bytes(made.tensors, {"format": "pt"}))
    write_file(config, (json.dumps(huggingface_config(made.spec), indent=1) + "\n").encode())
    return [weights, config]


def huggingface_config(spec: ResNetSpec) -> dict[str, Any]:
    """The config of transformers' ResNet for a spec (transformers models/resnet/configuration_resnet.py)."""
    times = 4 if spec.block == "bottleneck" else 1
    config: dict[str, Any] = {
        "architectures": ["ResNetForImageClassification" if spec.classes else "ResNetModel"], "model_type": "resnet",
        "num_channels": spec.in_channels, "embedding_size": spec.stem_width, "hidden_sizes": [times * width for width in spec.widths],
        "depths": list(spec.depths), "layer_type": spec.block, "hidden_act": "relu", "downsample_in_first_stage": False,
        "downsample_in_bottleneck": spec.block == "bottleneck" and spec.stride_in == "1x1", "torch_dtype": "float32",
    }  # fmt: skip
    if spec.classes:
        config["id2label"] = {str(number): f"LABEL_{number}" for number in range(spec.classes)}
        config["label2id"] = {f"LABEL_{number}": number for number in range(spec.classes)}
    return config


def write_keras(made: Converted, out: Path) -> list[Path]:
    """An HDF5 file of weights by layer, as keras applications publish them: `model.load_weights(FILE)` reads it, by_name or not."""
    try:
        import h5py  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtra(_("{out} needs h5py. Install plusx[keras].", out=out)) from None
    layers: dict[str, list[str]] = {}
    for name in made.tensors:
        layers.setdefault(name.partition("/")[0], []).append(name)
    layers = {layer: layers[layer] for layer in _in_keras_order(list(layers))}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.15.0"
        for layer, names in layers.items():
            group = file.create_group(layer)
            order = sorted(names, key=lambda name: _KERAS_ORDER.index(name.partition("/")[2]))
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in order]
            for name in order:
                group.create_dataset(f"{name}:0", data=made.tensors[name])
    write_file(out, buffer.getvalue())
    return [out]


def _in_keras_order(layers: list[str]) -> list[str]:
    """Layers as Keras sorts them, by their distance from the output: a projection stands among its block's third layers.

    >>> _in_keras_order(["a_0_conv", "a_0_bn", "a_2_bn", "a_3_conv", "a_3_bn"])
    ['a_2_bn', 'a_0_conv', 'a_3_conv', 'a_0_bn', 'a_3_bn']
    """
    projections = [layer for layer in layers if layer.endswith(("_0_conv", "_0_bn"))]
    order = [layer for layer in layers if layer not in projections]
    for layer in projections:
        order.insert(order.index(layer.replace("_0_", "_3_")), layer)
    return order


_KERAS_ORDER = ("kernel", "gamma", "bias", "beta", "moving_mean", "moving_variance")
WRITERS: dict[str, Callable[[Converted, Path], list[Path]]] = {
    "plusx": write_plusx, "torchvision": write_state, "timm": write_state, "mmdet": write_openmmlab,
    "mmpretrain": write_openmmlab, "huggingface": write_huggingface, "detectron2": write_detectron2, "keras": write_keras,
}  # fmt: skip
