"""plusx: every ResNet from one line of text. See it, build it, load any weights into it, cut it, train it, ship it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from plusx.errors import PlusxError, missing
from plusx.graph import Graph, lower
from plusx.specs import PRESETS as presets
from plusx.specs import ResNetSpec
from plusx.specs import parse as spec
from plusx.specs.display import register as _register
from plusx.version import __version__ as __version__

if TYPE_CHECKING:  # for type checkers and editors; at run time these packages are imported on first use
    from plusx.analysis import analyse
    from plusx.analysis.diff import diff
    from plusx.nn import ResNet
    from plusx.nn.factory import block, stage
    from plusx.nn.features import features
    from plusx.nn.folding import fold_norm
    from plusx.nn.freezing import freeze, param_groups
    from plusx.nn.residual import Residual
    from plusx.nn.residualise import residualise
    from plusx.nn.single_use import single_use_activations
    from plusx.nn.surgery import adapt_input, add_gates, cut, dilate, new_head
    from plusx.svg.render import draw
    from plusx.training import find_lr, fit
    from plusx.weights.loading import build, load
    from plusx.weights.opening import evaluate, predictor
    from plusx.weights.shorthands import resnet18, resnet34, resnet50, resnet101, resnet152

__all__ = [
    "Graph",
    "PlusxError",
    "ResNet",
    "ResNetSpec",
    "Residual",
    "adapt_input",
    "add_gates",
    "analyse",
    "block",
    "build",
    "cut",
    "diff",
    "dilate",
    "draw",
    "evaluate",
    "features",
    "find_lr",
    "fit",
    "fold_norm",
    "freeze",
    "load",
    "lower",
    "new_head",
    "param_groups",
    "predictor",
    "presets",
    "residualise",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "single_use_activations",
    "spec",
    "stage",
]

_PACKAGES = {
    "plusx.analysis": ("analyse",),
    "plusx.analysis.diff": ("diff",),
    "plusx.svg.render": ("draw",),
    "plusx.nn": ("ResNet",),
    "plusx.nn.features": ("features",),
    "plusx.nn.folding": ("fold_norm",),
    "plusx.nn.freezing": ("freeze", "param_groups"),
    "plusx.nn.factory": ("block", "stage"),
    "plusx.nn.residual": ("Residual",),
    "plusx.nn.residualise": ("residualise",),
    "plusx.nn.single_use": ("single_use_activations",),
    "plusx.nn.surgery": ("adapt_input", "add_gates", "cut", "dilate", "new_head"),
    "plusx.training": ("find_lr", "fit"),
    "plusx.weights.loading": ("build", "load"),
    "plusx.weights.opening": ("evaluate", "predictor"),
    "plusx.weights.shorthands": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
}
LAZY = {name: package for package, names in _PACKAGES.items() for name in names}
"""Public names whose package is imported on first use, so that the core needs neither time nor torch."""


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module 'plusx' has no attribute {name!r}")
    try:
        return getattr(import_module(LAZY[name]), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "plusx":
            raise
        raise missing(error.name) from error


def __dir__() -> list[str]:
    return sorted(["__version__", *__all__])


def _renderer(module: str, name: str) -> Any:
    """A function that shows an object in a notebook; its room is loaded when the first object is shown."""
    return lambda shown: getattr(import_module(module), name)(shown)


_register("network", "svg", _renderer("plusx.svg.render", "draw"))
_register("network", "html", _renderer("plusx.svg.render", "draw"))
_register("analysis", "html", _renderer("plusx.text.network_table", "network_html"))
_register("diff", "html", _renderer("plusx.text.diff_table", "diff_html"))
