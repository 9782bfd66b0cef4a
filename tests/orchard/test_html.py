import base64
import sys

import jinja2
import pytest
from matplotlib.figure import Figure

from orchard import html


@pytest.fixture
def template(tmp_path, monkeypatch):
    """Makes the text of a template that `html.render` finds in a package `pages`."""
    folder = tmp_path / "pages" / "templates"
    folder.mkdir(parents=True)
    (tmp_path / "pages" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def write(text):
        (folder / "page.html").write_text(text, encoding="utf-8")
        return "pages/page.html"

    yield write
    sys.modules.pop("pages", None)


def test_render_escapes_every_string(template):
    page = html.render(template("<p>{{ name }} é</p>"), name="<b>&")
    assert page == "<p>&lt;b&gt;&amp; é</p>"


def test_render_missing_variable_is_an_error(template):
    with pytest.raises(jinja2.UndefinedError, match="nobody"):
        html.render(template("{{ nobody }}"))


def test_render_page_extends_the_base(template):
    text = '{% extends "orchard/base.html" %}{% block title %}A title{% endblock %}'
    page = html.render(template(text + "{% block content %}Content{% endblock %}"))
    assert "<title>A title</title>" in page and "Content" in page
    assert "http://" not in page and "https://" not in page


def test_render_filters_show_counts_and_bytes(template):
    assert html.render(template("{{ 1234567 | count }} {{ 0.25 | count }}")) == "1,234,567 0.25"
    assert html.render(template("{{ 1500 | bytes }}")) == "1.5 kB"


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (1.5e6, "1.5 MB"), (2e15, "2000 TB")],
)
def test_format_bytes_uses_powers_of_1000(number, shown):
    assert html.format_bytes(number) == shown


def test_bars_are_scaled_to_the_largest():
    assert html.bars({"a": 1.0, "b": 4.0}) == [("a", 1.0, 25.0), ("b", 4.0, 100.0)]
    assert html.bars({"a": 0.0}) == [("a", 0.0, 0.0)]
    assert html.bars({}) == []


def test_figure_to_uri_equal_figures_are_equal_svg():
    def figure():
        made = Figure(figsize=(1, 1))
        made.add_subplot().plot([1, 2])
        return made

    uri = html.figure_to_uri(figure())
    kind, _, content = uri.partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert b"<svg" in base64.b64decode(content)
    assert html.figure_to_uri(figure()) == uri


def test_image_to_uri_holds_the_jpeg():
    kind, _, content = html.image_to_uri(b"jpeg").partition(",")
    assert (kind, base64.b64decode(content)) == ("data:image/jpeg;base64", b"jpeg")
