"""A scene as SVG text. Geometry comes from the layout, colours from the theme; this module only writes them as SVG."""

from __future__ import annotations

from collections.abc import Iterator

from plusx.i18n import visible
from plusx.svg.scene import Label, Line, Scene, SceneGroup, Shape
from plusx.svg.theme import Theme, style_sheet

HEAD = 5


class Svg(str):
    """SVG text that a notebook shows as the drawing."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)


def to_svg(scene: Scene, theme: Theme, *, style: bool = True, named: bool = False) -> Svg:
    """A standalone SVG, one line an element. `style=False` leaves the colours to the page it is put into.

    `named` gives each group its `data-name` (`layer1.0.conv1`, or `panel/2` for the second network), for a page's script.
    """
    w, h = _number(scene.width), _number(scene.height)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img">']
    lines.append(f"<title>{escape(scene.title)}</title>")
    if style:
        lines.append(f"<style>{style_sheet(theme)}</style>")
    lines.append(f'<rect class="page" width="{w}" height="{h}"/>')
    lines += _part(scene.root, named)
    return Svg("\n".join([*lines, "</svg>", ""]))


def escape(text: str) -> str:
    """Text as it may stand in XML, attributes included: what is no writing, line ends aside, as Python escapes it.

    >>> print(escape('<a & "b">'), escape("caf\\udce9\\x1b[31m"))
    &lt;a &amp; &quot;b&quot;&gt; caf\\xe9\\x1b[31m
    """
    text = "\n".join(visible(line) for line in text.split("\n"))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _part(part: SceneGroup, named: bool) -> Iterator[str]:
    name = f' data-name="{escape(part.name)}"' if named and part.name else ""
    grouped = bool(part.title or name)
    if grouped:
        yield f"<g{name}><title>{escape(part.title)}</title>" if part.title else f"<g{name}>"
    for item in part.items:
        if isinstance(item, SceneGroup):
            yield from _part(item, named)
        else:
            yield _element(item)
    if grouped:
        yield "</g>"


def _element(item: Shape | Line | Label) -> str:
    if isinstance(item, Label):
        return _text(item)
    return _line(item) if isinstance(item, Line) else _shape(item)


def _text(label: Label) -> str:
    names = [label.role, "b" if label.bold else "", {"start": "", "middle": "m", "end": "e"}[label.anchor]]
    found = " ".join(filter(None, names))
    look = f' class="{found}"' if found else ""
    place = f'x="{_number(label.x)}" y="{_number(label.y)}" font-size="{_number(label.size)}"'
    return f"<text{look} {place}>{escape(label.text)}</text>"


def _shape(shape: Shape) -> str:
    x, y, w, h = shape.box
    (mx, my), look = shape.box.middle, f'class="{shape.role}"'
    if shape.kind == "rect":
        size = f'width="{_number(w)}" height="{_number(h)}" rx="{_number(shape.radius)}"'
        return f'<rect {look} x="{_number(x)}" y="{_number(y)}" {size}/>'
    if shape.kind == "circle":
        return f'<circle {look} cx="{_number(mx)}" cy="{_number(my)}" r="{_number(w / 2)}"/>'
    paths = {
        "trapezoid": ("M", (x, y), (x + w, y), (x + w - shape.radius, y + h), (x + shape.radius, y + h)),
        "diamond": ("M", (mx, y), (x + w, my), (mx, y + h), (x, my)),
        "plus": ("", (x, my), (x + w, my), (mx, y), (mx, y + h)),
        "times": ("", (x, y), (x + w, y + h), (x + w, y), (x, y + h)),
    }
    closed, *points = paths[shape.kind]
    if closed:
        return f'<path {look} d="M{"L".join(map(_point, points))}Z"/>'
    a, b, c, d = map(_point, points)
    return f'<path {look} d="M{a}L{b}M{c}L{d}"/>'


def _line(line: Line) -> str:
    """The path, and a head of its own: no markers, so that nothing in the file needs an id."""
    points = [(round(x, 2), round(y, 2)) for x, y in line.points]
    end, before = points[-1], points[-2]
    across, down = (end[0] > before[0]) - (end[0] < before[0]), (end[1] > before[1]) - (end[1] < before[1])
    head = ""
    if line.arrow:
        points[-1] = (end[0] - across * HEAD, end[1] - down * HEAD)
        wing = HEAD * 0.6
        corners = ((points[-1][0] + side * down * wing, points[-1][1] + side * across * wing) for side in (1, -1))
        head = f'<path class="{line.role}h" d="M{_point(end)}L{"L".join(map(_point, corners))}Z"/>'
    return f'<path class="{line.role}" d="{_rounded(points, line.radius)}"/>{head}'


def _rounded(points: list[tuple[float, float]], radius: float) -> str:
    """Right-angled corners as quarter turns."""
    found = [f"M{_point(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        found.append(
            f"L{_point(_towards(corner, before, radius))}Q{_point(corner)} {_point(_towards(corner, after, radius))}"
        )
    return "".join([*found, f"L{_point(points[-1])}"])


def _towards(start: tuple[float, float], goal: tuple[float, float], most: float) -> tuple[float, float]:
    dx, dy = goal[0] - start[0], goal[1] - start[1]
    length = abs(dx) + abs(dy)
    part = min(most, length / 2) / length if length else 0
    return start[0] + dx * part, start[1] + dy * part


def _point(point: tuple[float, float]) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    """At most one decimal: a tenth of a pixel is finer than the eye sees."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")
