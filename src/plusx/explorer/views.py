"""What the page shows of a network: one pure function from the words in its address to plain data for JSON.

The server and the static site (in Pyodide) both call `answer`; the page itself computes nothing about networks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from plusx.analysis import Analysis, OpRow, StageRow, analyse
from plusx.analysis.diff import Diff, diff
from plusx.analysis.geometry import Size
from plusx.errors import GeometryError, PlusxError, SpecError, unknown
from plusx.explorer.snippets import snippets
from plusx.explorer.switches import changed_spec, switches
from plusx.graph import lower
from plusx.i18n import LANGUAGES, _, bytes_text
from plusx.names.maps import all_names
from plusx.specs import SPEC, ResNetSpec, input_size, parse
from plusx.svg.compare import compared
from plusx.svg.drawing import Drawing, drawing_of
from plusx.svg.labels import count, part_title, translate_to
from plusx.svg.layout import scene
from plusx.svg.markup import to_svg
from plusx.svg.render import DETAILS
from plusx.svg.scene import Scene
from plusx.svg.theme import LIGHT, theme
from plusx.text.alignment import Translate
from plusx.text.diff_table import FIGURES, changed_lines, signed, weights_text
from plusx.text.entries import layer_numbers
from plusx.text.notation import block_text, op_text, stage_names

MOST_LETTERS = 1000
MOST_BLOCKS = 700
"""resnet1202, the deepest network that is known, has 600 blocks; its answer takes about a quarter of a second."""
MOST_PX = 16_384
START = "resnet50"


class Question(NamedTuple):
    """The query of /api/view: the network's words, one `key=value` to change in it, the size of the input (`224` or
    `192x320`, empty for the preset's), detail of the drawing, language, the words of a second network to compare with."""

    net: str = START
    set: str = ""
    size: str = ""
    detail: str = "blocks"
    lang: str = "en"
    pin: str = ""
    theme: str = "light"


def question(query: Mapping[str, str]) -> Question:
    """The question of a query; what is not asked for is left at its default."""
    return Question(**{name: query[name] for name in Question._fields if name in query})


def answer(query: Mapping[str, str]) -> dict[str, Any]:
    """The view of a query, or `{"error": message, "of": field}` where a field of it is wrong. It raises nothing.

    >>> answer({"net": "resnet50 stem=depe"})["error"]
    "unknown stem 'depe'. Did you mean 'deep'? Allowed: 7x7, deep, deep2, tiered, 3x3."
    """
    asked = question(query)
    lang = asked.lang if asked.lang in LANGUAGES else "en"
    try:
        return view(asked)
    except WrongFieldError as error:
        return {"error": translate_to(lang)(error.reason), "of": error.field}


class WrongFieldError(Exception):
    """A field of the question that cannot be answered, and why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


class _Checked:
    """Turns a PlusxError inside a `with` into a WrongFieldError of this field."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, PlusxError):
            raise WrongFieldError(self.field, error.message) from None


def view(asked: Question) -> dict[str, Any]:
    """Everything that the page shows for a question. Raises WrongFieldError."""
    say = _checked_look(asked)
    drawings = _drawings(asked)
    drawing, spec = drawings[-1], drawings[-1].analysis.graph.spec
    found = {
        **_numbers(drawing, say),
        "detail": asked.detail,
        "svg": to_svg(_scene(drawings, asked.detail, say), LIGHT, style=False, named=True),
        "switches": switches(spec, say),
        "code": snippets(spec, asked.size),
    }
    if len(drawings) == 2:
        before, after = (each.analysis for each in drawings)
        found["pinned"] = _numbers(drawings[0], say)
        found["diff"] = _diff(diff(before.graph, after.graph, after.size_px), say)
    return found


def svg_file(query: Mapping[str, str]) -> str:
    """The drawing as a file of its own, in the colours of `theme`. Raises WrongFieldError."""
    asked = question(query)
    say = _checked_look(asked)
    with _Checked("theme"):
        colours = theme(asked.theme)
    return to_svg(_scene(_drawings(asked), asked.detail, say), colours)


def _checked_look(asked: Question) -> Translate:
    with _Checked("lang"):
        say = translate_to(asked.lang)
    with _Checked("detail"):
        if asked.detail not in DETAILS:
            raise PlusxError(unknown(_("detail"), asked.detail, DETAILS))
    return say


def _scene(drawings: list[Drawing], detail: str, say: Translate) -> Scene:
    """What `plusx draw` draws."""
    return scene(compared(*drawings) if len(drawings) == 2 else drawings, detail, say)


def _drawings(asked: Question) -> list[Drawing]:
    """The network, behind the pinned one if there is one, at one input size. Raises WrongFieldError."""
    spec, size, pinned = _networks(asked)
    with _Checked("set" if asked.set else "net"):
        analysis = analyse(lower(spec), size)
    if pinned is None:
        return [drawing_of(analysis)]
    with _Checked("pin"):
        return [drawing_of(analyse(lower(pinned), analysis.size_px)), drawing_of(analysis)]


def _networks(asked: Question) -> tuple[ResNetSpec, Size | None, ResNetSpec | None]:
    """The network, the size of its input, and the one to compare with. Raises WrongFieldError."""
    with _Checked("net"):
        spec = bounded(asked.net)
    if asked.set:
        with _Checked("set"):
            _check_length(asked.set)
            spec = _bounded_spec(changed_spec(spec, asked.set))
    with _Checked("size"):
        size = _size(asked.size)
    with _Checked("pin"):
        pinned = bounded(asked.pin) if asked.pin else None
    return spec, size, pinned


def bounded(text: str) -> ResNetSpec:
    """The spec of a text, if both are of a size that can be drawn at once. Raises SpecError."""
    _check_length(text)
    return _bounded_spec(parse(text))


def _check_length(text: str) -> None:
    if len(text) > MOST_LETTERS:
        raise SpecError(
            _(
                "The line has {n} characters, and the page takes {most}. Write a shorter one.",
                n=len(text),
                most=MOST_LETTERS,
            )
        )


def _bounded_spec(spec: ResNetSpec) -> ResNetSpec:
    if sum(spec.depths) > MOST_BLOCKS:
        raise SpecError(
            _("The network has {n} blocks, and the page draws up to {most}. Use plusx show on the command line.",
              n=sum(spec.depths), most=MOST_BLOCKS)
        )  # fmt: skip
    return spec


def _size(text: str) -> Size | None:
    if not text:
        return None
    found = re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", text)
    size = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not (1 <= min(size) and max(size) <= MOST_PX):
        raise GeometryError(
            _("{text!r} is no size from 1 to {most} pixels. Write a side like 224, or height x width like 192x320.",
              text=text, most=MOST_PX)
        )  # fmt: skip
    return size


# ---- the parts of a view ----


def _numbers(drawing: Drawing, say: Translate) -> dict[str, Any]:
    """The network in numbers: totals, parts, places of the drawing, counted layers."""
    analysis = drawing.analysis
    spec, depth, totals = analysis.graph.spec, analysis.depth, analysis.totals
    return {
        "text": str(spec),
        "size": list(analysis.size_px),
        "preset_size": input_size(spec),
        "totals": {
            "params": totals.params, "params_text": count(totals.params),
            "macs": totals.macs, "macs_text": count(totals.macs),
            "activation_bytes": totals.activation_bytes, "activations_text": bytes_text(totals.activation_bytes),
            "state_bytes": totals.state_bytes, "state_text": bytes_text(totals.state_bytes),
        },
        "depth": {
            "counted": depth.counted, "sum": depth.sum, "ops": list(depth.counted_ops), "convs": depth.convs,
            "weighted": depth.weighted,
        },
        "parts": [_part(analysis, part, say) for part in analysis.stages],
        "places": dict(_places(drawing)),
    }  # fmt: skip


def _part(analysis: Analysis, part: StageRow, say: Translate) -> dict[str, Any]:
    graph = analysis.graph
    blocks = next((len(stage.blocks) for stage in graph.stages if stage.name == part.name), 0)
    return {
        "name": part.name, "title": say(part_title(part.name)),
        "names": list(stage_names(part.name)) if blocks else [], "blocks": blocks,
        "out": [part.channels, *part.out], "jump": part.jump, "rf": part.rf, "start": part.start, "global": part.whole,
        "params": part.params, "params_text": count(part.params), "macs": part.macs, "macs_text": count(part.macs),
    }  # fmt: skip


def _places(drawing: Drawing) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name in the drawing to its numbers: ops as they are drawn (equal blocks once), block boxes."""
    graph, layers = drawing.analysis.graph, layer_numbers(drawing.analysis)
    rows = {row.op.name: row for row in drawing.analysis.rows}
    drawn = [(op.name, "", 1) for op in (*graph.stem, *graph.head)]
    for run in (run for section in drawing.sections for run in section.runs):
        ops, times = run.block.ops, len(run.blocks)
        drawn += [(op.name, run.name, times) for op in ops]
        last = rows[run.blocks[-1].ops[-1].name]
        own = [rows[op.name] for op in ops]
        sums = sum(row.params for row in own), sum(row.macs for row in own)
        yield run.name, {**_place(last, *sums), "text": block_text(run.block), "repeat": times, "block": True}
    names = all_names(graph, [name for name, _block, _times in drawn])
    for name, block, times in drawn:
        row = rows[name]
        yield name, {
            **_place(row, row.params, row.macs), "text": op_text(row.op), "repeat": times, "in": block,
            "layer": layers.get(name), "names": names[name],
        }  # fmt: skip


def _place(row: OpRow, params: int, macs: int) -> dict[str, Any]:
    return {
        "out": [row.op.c_out, *row.out], "jump": row.jump, "rf": row.rf, "start": row.start, "global": row.whole,
        "params": params, "params_text": count(params), "macs": macs, "macs_text": count(macs),
    }  # fmt: skip


def _diff(found: Diff, say: Translate) -> dict[str, Any]:
    """The words of `plusx diff`."""
    figures = [
        {"name": say(FIGURES[name]), "before": f"{x:,}", "after": f"{y:,}", "change": signed(y - x)}
        for name, (x, y) in found.figures.items()
    ]
    fields = [[key, *(SPEC.show(key, value) or "-" for value in (x, y))] for key, x, y in found.fields]
    return {
        "equal": not found, "fields": fields, "changes": changed_lines(found, say), "figures": figures,
        "weights": say(weights_text(found.weights)),
    }  # fmt: skip
