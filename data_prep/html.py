"""Self-contained HTML pages: one stylesheet, Jinja with autoescape, pictures inside the file.

A page extends `data_prep/templates/base.html` (`{% extends "data_prep/base.html" %}`) and fills its
blocks `title`, `summary` and `content`.
"""

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A template is named PACKAGE/FILE, and lies in that package's folder `templates`.
_PACKAGES = ("data_prep", "trainer", "ensemble")


def render(template: str, **context: object) -> str:
    """Fill a template of one of our packages.

    Args:
      template: `PACKAGE/FILE`, such as `data_prep/report.html`.
      **context: the template's variables; every string is escaped.
    """
    return _environment().get_template(template).render(**context)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PrefixLoader({package: _LazyLoader(package) for package in _PACKAGES}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda number: f"{number:,.10g}"
    environment.filters["bytes"] = format_bytes
    return environment


class _LazyLoader(jinja2.BaseLoader):
    """Looks a package up only when one of its templates is wanted: data_prep imports no other."""

    def __init__(self, package: str) -> None:
        self._package = package

    def get_source(self, environment: jinja2.Environment, template: str):  # noqa: ANN201, D102
        return jinja2.PackageLoader(self._package).get_source(environment, template)


def format_bytes(number: float) -> str:
    """Bytes for people: `1.5 MB`, powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.4g} {unit}"
        number /= 1000
    return f"{number:.4g} TB"


def figure_to_uri(figure: "Figure") -> str:
    """A Matplotlib figure as an SVG data URI; equal figures give equal bytes.

    Make the figure with `matplotlib.figure.Figure()`: pyplot would keep it and look for a display.
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


def bars(values: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """(name, value, percent of the largest) of each: what the page's `.bar` cells need."""
    largest = max(values.values(), default=0) or 1
    return [(name, value, 100 * value / largest) for name, value in values.items()]
