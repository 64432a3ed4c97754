"""The exported networks in a bundle, each written only after its proof."""

from __future__ import annotations

from plusx.bundles import Bundle
from plusx.bundles.engines import ENGINE_FILE
from plusx.errors import BundleError
from plusx.i18n import Message, _


def engine_folder(engine: str, precision: str) -> str:
    """The folder of an export, relative to its bundle.

    >>> engine_folder("onnxruntime", "int8")
    'engines/onnx-int8'
    """
    return f"engines/{'onnx' if engine == 'onnxruntime' else engine}-{precision}"


def is_proven(bundle: Bundle, engine: str, precision: str) -> bool:
    """Whether the bundle has an export of this kind; each was proven when it was written.

    Raises BundleError where it was made from other weights than the bundle's.
    """
    name = f"{engine_folder(engine, precision)}/{ENGINE_FILE}"
    if name not in bundle.files:
        return False
    try:
        made_from = bundle.read_json(name)["weights_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        reason = _("it does not say from which weights it was made")
        raise not_usable(bundle, engine, precision, reason) from error
    if made_from != bundle.weights_sha256:
        raise not_usable(bundle, engine, precision, _("it was made from other weights than those of the bundle"))
    return True


def not_usable(bundle: Bundle, engine: str, precision: str, why: Message) -> BundleError:
    """The error for an export that the bundle has and that cannot be used."""
    return BundleError(
        _(
            "{folder} cannot be used: {why}. Export it again: plusx export {path} --to {target} --precision {precision}.",
            folder=bundle.path / engine_folder(engine, precision), why=why, path=bundle.path,
            target="onnx" if engine == "onnxruntime" else engine, precision=precision,
        )
    )  # fmt: skip


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
