"""`plusx export`: a bundle's network in other formats, written, read back by its own engine and proven."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plusx.bundles import Bundle, open_bundle
from plusx.bundles.atomic import write_dir
from plusx.bundles.engines import ENGINE_FILE, ENGINE_SCHEMA, put_engine
from plusx.deploy.config import ExportConfig, ExportSource, Size
from plusx.deploy.layouts import laid_out
from plusx.deploy.proof import Proof, check_proof, compare_networks
from plusx.deploy.proof_images import ProofImages, calibration_images, proof_images
from plusx.deploy.reference import Reference
from plusx.deploy.targets import TARGETS, ExportTarget
from plusx.errors import BundleError, GateError, SpecError
from plusx.files import json_text
from plusx.i18n import Message, _, visible
from plusx.runtime.lowering import output_name
from plusx.version import __version__

Log = Callable[[Message], None]


@dataclass(frozen=True)
class ExportResult:
    """The folder of an export, its files (relative) and the proof."""

    path: Path
    files: tuple[str, ...]
    proof: Proof


def export(
    source: str | Path | Bundle, config: ExportConfig, out: str | Path | None = None, log: Log = lambda line: None
) -> ExportResult:
    """The export, proven and only then stored: in the bundle's engines/NAME, or as the new directory `out`.

    Layouts other than plain need `out`, since a server takes a directory. Raises GateError when the proof fails,
    BundleError, SpecError, DataError, MissingExtra.
    """
    bundle, target = open_bundle(source), TARGETS[config.to]
    _check_output(config, out)
    made = _sized(bundle, config)
    real = proof_images(made, config.data, config.most_images)
    reference = Reference(made)
    with tempfile.TemporaryDirectory(prefix="plusx-export-") as scratch:
        folder = Path(scratch)
        job = ExportSource(made, _size(made, config), config.precision)
        proof = _write_and_prove(target, job, folder, config, reference, real, log)
        log(_("proven on {proof}", proof=proof.text()))
        about = _about(made, config, proof)
        target.describe(folder, about)
        files = {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }
    return _store(bundle, config, out, about, files, proof)


def _write_and_prove(
    target: ExportTarget,
    source: ExportSource,
    folder: Path,
    config: ExportConfig,
    reference: Reference,
    real: ProofImages,
    log: Log,
) -> Proof:
    """The proof of the written export. int8 that fails is written again with its worst layers in float."""

    def calibrate() -> ProofImages:
        return calibration_images(source.bundle, config.calibrate or config.data, config.most_calibration)

    images = calibrate() if config.precision == "int8" else None
    target.write(source, folder, images)
    proof = compare_networks(reference, target.read(folder, config.precision), real, config.precision)
    try:
        check_proof(proof, config.accept_drop)
    except GateError:
        if target.write_mixed is None or images is None or real.labels is None or not proof.alive:
            raise
        log(
            _(
                "int8 keeps {kept:.2%} of fp32's top-1, which is too little. Some layers return to float.",
                kept=proof.kept,
            )
        )
        target.write_mixed(source, folder, images, real, config.accept_drop)
        proof = compare_networks(reference, target.read(folder, config.precision), real, config.precision)
        check_proof(proof, config.accept_drop)
    return proof


def _sized(bundle: Bundle, config: ExportConfig) -> Bundle:
    """The bundle with --size as its crop; the resize keeps its ratio to the crop."""
    if config.size is None:
        return bundle
    h, w = config.size
    if h != w:
        raise SpecError(
            _(
                "--size {h}x{w} is not square, but plusx crops squares. "
                "Write one number, or --dynamic-size for any height and width.",
                h=h,
                w=w,
            )
        )
    pre = bundle.preprocessing
    resize = None if pre.resize_px is None or pre.crop_px is None else round(pre.resize_px * h / pre.crop_px)
    return replace(bundle, preprocessing=replace(pre, crop_px=h, resize_px=resize))


def _size(bundle: Bundle, config: ExportConfig) -> Size:
    side = bundle.preprocessing.crop_px
    return None if config.dynamic or side is None else (side, side)


def _check_output(config: ExportConfig, out: str | Path | None) -> None:
    if out is None and (config.layout != "plain" or config.size is not None or config.dynamic):
        raise SpecError(
            _(
                "A server's layout or another input size cannot be stored in the bundle. "
                "Name a new directory with -o DIR."
            )
        )
    if out is not None and Path(out).exists() and (not Path(out).is_dir() or any(Path(out).iterdir())):
        raise BundleError(_("{path} exists and is not empty. Choose another -o DIR.", path=out))


def _about(bundle: Bundle, config: ExportConfig, proof: Proof) -> dict[str, Any]:
    """The content of engine.json, and of the network's own metadata."""
    spec = bundle.spec
    return {
        "engine": config.to, "precision": config.precision, "spec": str(spec),
        "input": {"name": "images", "type": "uint8", "layout": "NHWC", "channels": list(bundle.preprocessing.mode)},
        "output": {"name": output_name(spec), "type": "float32"}, "classes": [*map(visible, bundle.classes)],
        "preprocessing_before": {"resize_px": bundle.preprocessing.resize_px, "crop_px": bundle.preprocessing.crop_px,
                                 "interpolation": bundle.preprocessing.interpolation, "mode": bundle.preprocessing.mode},
        "preprocessing_inside": {"scale": bundle.preprocessing.scale, "mean": list(bundle.preprocessing.mean), "std": list(bundle.preprocessing.std)},
        "proof": proof.to_dict(), "weights_sha256": bundle.weights_sha256,
        "provenance": bundle.provenance.to_dict(), "made_by": {"plusx": __version__, "python": platform.python_version()},
    }  # fmt: skip


def _store(
    bundle: Bundle,
    config: ExportConfig,
    out: str | Path | None,
    about: dict[str, Any],
    files: Mapping[str, bytes],
    proof: Proof,
) -> ExportResult:
    if out is None:
        path = put_engine(bundle, f"{config.to}-{config.precision}", about, files)
        return ExportResult(path, (*files, ENGINE_FILE), proof)
    path = Path(out)
    tree = laid_out(config.layout, path.name or "plusx", config, about, files)
    if config.layout == "plain":
        write_dir(path, ENGINE_FILE, {"schema": ENGINE_SCHEMA, **about}, tree)
        return ExportResult(path, (*tree, ENGINE_FILE), proof)
    whole = {
        **tree,
        "engine.json": f"{json_text({'schema': ENGINE_SCHEMA, **about}, 1)}\n".encode(),
    }
    write_dir(path, "plusx.json", {"schema": ENGINE_SCHEMA, "layout": config.layout}, whole)
    return ExportResult(path, tuple(whole), proof)
