"""The page in a browser: a photo is dropped on it."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.ensemble.serving import browser

pytestmark = pytest.mark.skipif(
    browser.executable() is None, reason=f"none of {', '.join(browser.NAMES)} is installed"
)

_DROP = """
(() => {
  const bytes = Uint8Array.from(atob(DATA), (one) => one.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], NAME, {type: "image/jpeg"}));
  const target = document.getElementById("drop");
  target.dispatchEvent(new DragEvent("drop", {bubbles: true, dataTransfer: files}));
})()
"""


def _drop(page, name, data):
    text = json.dumps(base64.b64encode(data).decode())
    page.evaluate(_DROP.replace("DATA", text).replace("NAME", json.dumps(name)))


def _rows(page):
    script = (
        "[...document.querySelectorAll('#table tr')].map(r => [...r.cells].map(c => c.innerText))"
    )
    return page.evaluate(script)


def test_photo_that_is_dropped_on_the_page_shows_what_each_member_says(served):
    with browser.page() as page:
        page.open(f"http://127.0.0.1:{served.port}/")
        _drop(page, "<b>leaf</b>.jpg", served.jpegs[0])
        page.wait_for("!document.getElementById('result').hidden")
        head, *rows = _rows(page)
        assert head == ["class", "all together", "", "a", "b"]
        together, *own = served.predictor.predict_members(served.jpegs[:1])[0]
        names = served.predictor.class_names
        order = np.argsort(-together)
        assert [row[0] for row in rows] == [names[at] for at in order]
        shown = np.array([[float(row[1]), *map(float, row[3:])] for row in rows])
        expected = np.stack([together, *own], axis=1)[order]
        np.testing.assert_allclose(shown, expected, atol=6e-4)
        bar = page.evaluate("document.querySelector('#table .bar i').style.width")
        assert abs(float(bar.rstrip("%")) - 100 * together.max()) < 0.1
        # Names of files are text.
        assert (
            page.evaluate("document.getElementById('file_name').textContent") == "<b>leaf</b>.jpg"
        )
        loaded = "document.getElementById('picture').naturalWidth"
        assert page.wait_for(loaded) == 32
        picture = Image.open(io.BytesIO(page.screenshot()))
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 50

        _drop(page, "page.html", b"<html>")
        said = page.wait_for(
            "document.getElementById('message').className == 'warn' && "
            "document.getElementById('message').textContent"
        )
        assert said.startswith("image 0: not a usable image")
        assert page.evaluate("document.getElementById('result').hidden")
        # The refusal is all that the console has to say: no policy was violated, nothing thrown.
        assert all("400" in one for one in page.complaints()), page.complaints()
