"""`plusx export`: a bundle's network for other systems, written, read back by its own engine and proven."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plusx.bundles import Bundle, open_bundle
from plusx.bundles.durable import write_dir
from plusx.bundles.engines import ENGINE_FILE, ENGINE_SCHEMA, put_engine
from plusx.deploy.layouts import LAYOUTS, laid_out
from plusx.deploy.proof import LEAST_AGREEMENT, Proof, check
from plusx.deploy.proof import compare as compare_networks
from plusx.deploy.proof_images import Images, calibration_images, proof_images
from plusx.deploy.reference import Reference
from plusx.deploy.targets import TARGETS, Source, Target
from plusx.errors import BundleError, GateError, SpecError, unknown
from plusx.runtime.lowering import output_name
from plusx.runtime.plan import PRECISIONS
from plusx.version import __version__

Say = Callable[[str], None]
Size = tuple[int, int] | None


@dataclass(frozen=True)
class Order:
    """What to export. `to` openvino, onnx or torch-export; `size` (h, w) of the input, None what the bundle crops to.

    `dynamic` leaves height and width open. `data` and `calibrate` are where real images are; None: the run's own.
    `accept_drop` is the share of fp32's top-1 that bf16 or int8 may lose.
    """

    to: str
    precision: str = "fp32"
    layout: str = "plain"
    size: Size = None
    dynamic: bool = False
    data: str | None = None
    calibrate: str | None = None
    accept_drop: float = round(1 - LEAST_AGREEMENT, 6)
    most_images: int = 512
    most_calibration: int = 300

    def __post_init__(self) -> None:
        for what, word, allowed in (
            ("target", self.to, TARGETS),
            ("precision", self.precision, PRECISIONS),
            ("layout", self.layout, LAYOUTS),
        ):
            if word not in allowed:
                raise SpecError(unknown(what, word, allowed))
        if self.precision not in TARGETS[self.to].precisions:
            can = ", ".join(TARGETS[self.to].precisions)
            raise SpecError(
                f"--to {self.to} --precision {self.precision}, {TARGETS[self.to].why_not}; allowed there: {can}"
            )
        if self.layout not in TARGETS[self.to].layouts:
            raise SpecError(
                f"--layout {self.layout}, takes no {self.to} network; allowed there: {', '.join(TARGETS[self.to].layouts)}"
            )
        if not 0 <= self.accept_drop < 1:
            raise SpecError(f"--accept-drop {self.accept_drop}, must be a share from 0 to below 1")


@dataclass(frozen=True)
class Exported:
    """Where the export lies, its files (relative) and what proved it."""

    path: Path
    files: tuple[str, ...]
    proof: Proof


def export(source: str | Path, order: Order, out: str | Path | None = None, say: Say = lambda line: None) -> Exported:
    """Export, prove, and only then store: in the bundle's engines/NAME, or as the new directory `out`.

    Layouts other than plain need `out`, since a server takes a directory. Raises GateError when the proof does not hold,
    BundleError, SpecError, DataError, MissingExtra.
    """
    bundle, target = open_bundle(source), TARGETS[order.to]
    _check_place(order, out)
    made = _sized(bundle, order)
    real = proof_images(made, order.data, order.most_images)
    reference = Reference(made)
    with tempfile.TemporaryDirectory(prefix="plusx-export-") as scratch:
        folder = Path(scratch)
        recipe = Source(made, _size(made, order), order.precision)
        proof = _write_and_prove(target, recipe, folder, order, reference, real, say)
        say(f"proven on {proof}")
        about = _about(made, order, proof)
        target.describe(folder, about)
        files = {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }
    return _store(bundle, order, out, about, files, proof)


def _write_and_prove(
    target: Target, recipe: Source, folder: Path, order: Order, reference: Reference, real: Images, say: Say
) -> Proof:
    """The written export and its proof; int8 gets a second chance, with its worst layers left in float."""

    def calibrate() -> Images:
        return calibration_images(recipe.bundle, order.calibrate or order.data, order.most_calibration)

    images = calibrate() if order.precision == "int8" else None
    target.write(recipe, folder, images)
    proof = compare_networks(reference, target.read(folder, order.precision), real, order.precision)
    try:
        check(proof, order.accept_drop)
    except GateError:
        if (
            order.precision != "int8"
            or target.rescue is None
            or real.labels is None
            or images is None
            or not proof.alive
        ):
            raise
        say(f"int8 keeps {proof.kept:.2%} of fp32's top-1, too little: looking for layers to leave in float")
        target.rescue(recipe, folder, images, real, order.accept_drop)
        proof = compare_networks(reference, target.read(folder, order.precision), real, order.precision)
        check(proof, order.accept_drop)
    return proof


def _sized(bundle: Bundle, order: Order) -> Bundle:
    """The bundle as its export will be served: --size is another crop, and the resize keeps its share of it."""
    if order.size is None:
        return bundle
    h, w = order.size
    if h != w:
        raise SpecError(
            f"--size {h}x{w}, plusx crops squares; write one number, or --dynamic-size for any height and width"
        )
    pre = bundle.preprocessing
    resize = None if pre.resize_px is None or pre.crop_px is None else round(pre.resize_px * h / pre.crop_px)
    return replace(bundle, preprocessing=replace(pre, crop_px=h, resize_px=resize))


def _size(bundle: Bundle, order: Order) -> Size:
    side = bundle.preprocessing.crop_px
    return None if order.dynamic or side is None else (side, side)


def _check_place(order: Order, out: str | Path | None) -> None:
    if out is None and (order.layout != "plain" or order.size is not None or order.dynamic):
        raise SpecError(
            "a server's layout or another input size is no engine of the bundle itself; name a new directory with -o DIR"
        )
    if out is not None and Path(out).exists() and (not Path(out).is_dir() or any(Path(out).iterdir())):
        raise BundleError(f"{out} exists and is not empty; choose another -o DIR")


def _about(bundle: Bundle, order: Order, proof: Proof) -> dict[str, Any]:
    """engine.json, and what goes into the network's own metadata."""
    spec = bundle.spec
    return {
        "engine": order.to, "precision": order.precision, "spec": str(spec),
        "input": {"name": "images", "type": "uint8", "layout": "NHWC", "channels": list(bundle.preprocessing.mode)},
        "output": {"name": output_name(spec), "type": "float32"}, "classes": list(bundle.classes),
        "preprocessing_before": {"resize_px": bundle.preprocessing.resize_px, "crop_px": bundle.preprocessing.crop_px,
                                 "interpolation": bundle.preprocessing.interpolation, "mode": bundle.preprocessing.mode},
        "preprocessing_inside": {"scale": bundle.preprocessing.scale, "mean": list(bundle.preprocessing.mean), "std": list(bundle.preprocessing.std)},
        "proof": proof.to_dict(), "weights_sha256": bundle.files["weights.safetensors"]["sha256"],
        "provenance": bundle.provenance.to_dict(), "made_by": {"plusx": __version__, "python": platform.python_version()},
    }  # fmt: skip


def _store(
    bundle: Bundle,
    order: Order,
    out: str | Path | None,
    about: dict[str, Any],
    files: Mapping[str, bytes],
    proof: Proof,
) -> Exported:
    if out is None:
        path = put_engine(bundle.path, f"{order.to}-{order.precision}", about, files)
        return Exported(path, (*files, ENGINE_FILE), proof)
    path = Path(out)
    tree = laid_out(order.layout, path.name or "plusx", order, about, files)
    if order.layout == "plain":
        write_dir(path, ENGINE_FILE, {"schema": ENGINE_SCHEMA, **about}, tree)
        return Exported(path, (*tree, ENGINE_FILE), proof)
    whole = {
        **tree,
        "engine.json": (json.dumps({"schema": ENGINE_SCHEMA, **about}, indent=1, ensure_ascii=False) + "\n").encode(),
    }
    write_dir(path, "plusx.json", {"schema": ENGINE_SCHEMA, "layout": order.layout}, whole)
    return Exported(path, tuple(whole), proof)
