"""Self-contained HTML pages: one stylesheet, Jinja with autoescape, pictures inside the file.

A page extends `orchard/templates/base.html` (`{% extends "orchard/base.html" %}`) and fills its
blocks `title`, `summary` and `content`.
"""

import base64
import importlib.resources
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from orchard.lazy import lazy_import

if TYPE_CHECKING:
    import jinja2
    from matplotlib.figure import Figure
else:
    jinja2 = lazy_import("jinja2")

# Of a figure's curves: more than these cannot be told apart.
CURVE_COLORS = (
    "#1b6ca8",
    "#c8553d",
    "#2f7d4f",
    "#8d5fb0",
    "#b8860b",
    "#4a9a9a",
    "#a33b6b",
    "#5b6b3a",
    "#6f5a4c",
    "#3d4f8a",
)


def render(template: str, **context: object) -> str:
    """Fill a template of a package.

    Args:
        template: `PACKAGE/FILE`, such as `data_prep/report.html`, which is in that package's folder
            `templates`.
        **context: the template's variables; every string is escaped.
    """
    return _environment().get_template(template).render(**context)


def _environment() -> "jinja2.Environment":
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda number: f"{number:,.10g}"
    environment.filters["bytes"] = format_bytes
    return environment


def _template_source(template: str) -> str:
    """The text of template `PACKAGE/FILE`."""
    package, _, file = template.partition("/")
    return (importlib.resources.files(package) / "templates" / file).read_text("utf-8")


def format_bytes(number: float) -> str:
    """A number of bytes as people read it, such as `1.5 MB`; a MB is 1000 kB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.4g} {unit}"
        number /= 1000
    return f"{number:.4g} TB"


def figure_to_uri(figure: "Figure") -> str:
    """A Matplotlib figure as an SVG data URI; equal figures give equal bytes.

    Make the figure with `matplotlib.figure.Figure()`: pyplot would keep it and need a display.
    """
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "orchard", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return _uri("image/svg+xml", buffer.getvalue())


def image_to_uri(jpeg: bytes) -> str:
    """A JPEG as a data URI."""
    return _uri("image/jpeg", jpeg)


def _uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


class Bar(NamedTuple):
    """A row of a bar chart, as a page's `.bar` cells need it; `percent` is of the largest value."""

    name: str
    value: float
    percent: float


def bars(values: Mapping[str, float]) -> list[Bar]:
    """One bar for each of the named values."""
    largest = max(values.values(), default=0) or 1
    return [Bar(name, value, 100 * value / largest) for name, value in values.items()]
