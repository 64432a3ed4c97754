"""The exported networks that lie in a bundle, each written only after its proof."""

from __future__ import annotations

from plusx.bundles import Bundle
from plusx.errors import BundleError
from plusx.i18n import _


def engine_folder(engine: str, precision: str) -> str:
    """Where an export lies in a bundle, relative to it.

    >>> engine_folder("onnxruntime", "int8")
    'engines/onnx-int8'
    """
    return f"engines/{'onnx' if engine == 'onnxruntime' else engine}-{precision}"


def is_proven(bundle: Bundle, engine: str, precision: str) -> bool:
    """Whether an export of this kind, which ends with a proof, lies in the bundle."""
    return f"{engine_folder(engine, precision)}/engine.json" in bundle.files


def not_exported(bundle: Bundle, engine: str, precision: str) -> BundleError:
    """The error for a network that only an export could have put into the bundle."""
    have = [p for p in ("fp32", "bf16", "int8") if is_proven(bundle, engine, p)]
    return BundleError(
        _(
            "{path} has no {precision} network for {engine} (it has: {have}). "
            "plusx export {path} --to {target} --precision {precision} makes and proves one.",
            path=bundle.path, precision=precision, engine=engine, have=", ".join(have) or _("none"),
            target="onnx" if engine == "onnxruntime" else engine,
        )
    )  # fmt: skip
