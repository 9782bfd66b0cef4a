import dataclasses
import re
from pathlib import Path

import pytest

from data_prep.publish.card import canonical_command
from tests.data_prep.builders import (
    config,
    digests,
    jpeg,
    make_input,
    run,
    write_csv,
)


def card(tmp_path, **settings):
    directory, _ = run(tmp_path / "out", **settings)
    return Path(directory, "report.html").read_text()


def test_card_of_folds_shows_splits_classes_samples_and_the_command(tmp_path):
    page = card(tmp_path, folds=3, **make_input(tmp_path / "in"))
    for split in ("fold0", "fold1", "fold2", "test"):
        assert f"<td>{split}</td>" in page
    for name in ("bag", "coat", "shirt"):
        assert f"<h3>{name}</h3>" in page
    assert page.count("<img ") == 12 and page.count("data:image/jpeg;base64,") == 12
    assert "--folds=3" in page and "IMAGES" in page


def test_card_with_html_in_names_escapes_it(tmp_path):
    given = make_input(tmp_path / "in", rows=3)
    evil = "<script>alert(1)</script>"
    quoted = '"><img src=x onerror=alert(1)>'
    images = Path(given["images_dir"])
    (images / f"{quoted}.jpg").write_bytes(jpeg(50))
    rows = [("image_id", "label"), ("a000", evil), ("a001", "b"), (quoted, "b"), (evil, "b")]
    given["csv"] = write_csv(given["csv"], rows)
    page = card(tmp_path, on_bad="skip", **given)
    assert "<script" not in page and "onerror=alert(1)>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_card_links_to_nothing_outside_the_page(tmp_path):
    page = card(tmp_path, **make_input(tmp_path / "in"))
    links = re.findall(r"""(?:src|href)\s*=\s*["'](.*?)["']|url\((.*?)\)|@import""", page)
    assert links and all(link[0].startswith("data:") for link in links)


@pytest.mark.parametrize(("count", "pictures"), [(1, 2), (700, 160)])
def test_card_of_many_classes_shows_a_limited_number_of_pictures(tmp_path, count, pictures):
    given = make_input(tmp_path / "in", rows=max(count, 2), test_rows=1)
    rows = [
        ("image_id", "label"),
        *((f"a{n:03d}", f"class {n % count}") for n in range(max(count, 2))),
    ]
    given["csv"] = write_csv(given["csv"], rows)
    assert card(tmp_path, label_shape="name", **given).count("<img ") == pictures


def test_canonical_command_has_every_chosen_setting_and_no_path():
    command = canonical_command(
        config(
            "/secret",
            csv="/secret/a.csv",
            images_dir="/secret/b",
            folds=5,
            class_names=("a b", "c"),
        ),
        has_test=False,
    )
    assert "secret" not in command
    assert "--folds=5" in command and "--class_names='a b,c'" in command
    assert "--seed" not in command and "--test" not in command and "--decode" not in command


def test_canonical_command_with_a_comma_in_a_class_name_quotes_it():
    command = canonical_command(
        config("/x", csv="/x/a", images_dir="/x/b", class_names=("maillot, tank suit", "crane")),
        has_test=False,
    )
    assert """--class_names='"maillot, tank suit",crane'""" in command


def test_canonical_command_with_skipped_rows_has_the_decode_check():
    with_test = config("/x", csv="/x/a", images_dir="/x/b", test_csv="/x/c", decode_check=True)
    command = canonical_command(with_test, has_test=True)
    assert "--test_csv=TEST_CSV" in command and "--test_images_dir=TEST_IMAGES" in command
    assert "--decode_check" not in command
    skipping = dataclasses.replace(with_test, on_bad="skip")
    assert "--decode_check" in canonical_command(skipping, has_test=True)


def test_card_of_an_undecodable_image_is_made_all_the_same(given, tmp_path):
    path = Path(given["images_dir"]) / "a000.jpg"
    data = path.read_bytes()
    start = data.index(b"\xff\xda")
    path.write_bytes(data[: start + 2] + data[-2:])
    directory, _ = run(tmp_path / "out", **given)
    assert "report.html" in digests(directory)
