"""Bad inputs of every kind, as tables: each ends in one line that names it, and leaves no dataset.

A row is a name, what is done to a small good input, and words of the line. What is done returns the
settings that change. Odd inputs that are good have a table of their own: they give the records of
the plain ones.
"""

import io
import os
import shutil
import struct
import subprocess
import sys
import unicodedata
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.config import PrepConfig
from ensemble.config import EnsembleConfig
from orchard.errors import OrchardError
from orchard.formats import EnsembleRecord, RunRecord
from orchard.formats.manifest import Manifest, load_records
from tests.data_prep.builders import (
    CLASSES,
    digests,
    jpeg,
    make_input,
    picture,
    pillow_bytes,
    pixels,
    run,
    write_csv,
)
from trainer.config import TrainConfig

_HEADER = "image_id,label\n"
_ROWS = [f"a{row:03d},{CLASSES[row % 3]}" for row in range(6)]
_GOOD = _HEADER + "\n".join(_ROWS) + "\n"
_ONE_HOT = "image_id,bag,coat,shirt\na000,1,0,0\na001,0,1,0\na002,0,0,1\n"
_JPEG, _PNG = jpeg(3), pillow_bytes(picture(), "PNG")


def _csv(content, **settings):
    def spoil(given):
        data = content if isinstance(content, bytes) else content.encode()
        Path(given["csv"]).write_bytes(data)
        return settings

    return spoil


def _row(text):
    return _csv(f"{_GOOD}{text}\n")


def _one_hot(text):
    return _csv(f"{_ONE_HOT}{text}\n")


def _table(suffix, content):
    def spoil(given):
        path = Path(given["csv"]).with_suffix(suffix)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return {"csv": str(path)}

    return spoil


def _settings(**changes):
    return lambda given: changes


def _image(content):
    def spoil(given):
        Path(given["images_dir"], "a003.jpg").write_bytes(content)
        return {}

    return spoil


def _instead_of_image(make):
    def spoil(given):
        path = Path(given["images_dir"], "a003.jpg")
        path.unlink()
        make(path)
        return {}

    return spoil


def _ids_without_zeros(given):
    for row in range(6):
        folder = Path(given["images_dir"])
        (folder / f"a{row:03d}.jpg").rename(folder / f"{row:03d}.jpg")
    return _csv(_HEADER + "".join(f"{row},bag\n" for row in range(6)))(given)


def _cut_before(marker, more=0):
    return _JPEG[: _JPEG.index(b"\xff" + bytes([marker])) + more]


def _jpeg_of_size(height, width):
    at = _JPEG.index(b"\xff\xc0")
    return _JPEG[: at + 5] + struct.pack(">HH", height, width) + _JPEG[at + 9 :]


def _jpeg_of_coding(marker):
    at = _JPEG.index(b"\xff\xc0")
    return _JPEG[: at + 1] + bytes([marker]) + _JPEG[at + 2 :]


def _png_of_size(side):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return _PNG[:8] + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def _animation(kind):
    buffer = io.BytesIO()
    frames = [Image.fromarray(pixels(seed)) for seed in range(3)]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def _16_bits():
    values = (np.arange(24 * 32).reshape(24, 32) * 60).astype(np.uint16)
    return pillow_bytes(Image.fromarray(values), "PNG")


def _spreadsheet():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("xl/workbook.xml", "<x/>")
    return buffer.getvalue()


_SPLITS = "image_id,label,split\na000,bag,{}\na001,coat,{}\n"
_TABLES = {
    "empty": (_csv(""), "train.csv: the first row must name the columns"),
    "header_alone": (_csv(_HEADER), "train.csv: no rows below the header"),
    "utf_16": (_csv(_GOOD.encode("utf-16")), "train.csv, row 1: not UTF-8 text; save"),
    "latin_1": (_csv(_GOOD.encode() + b"a5,caf\xe9\n"), "train.csv, row 8: not UTF-8 text"),
    "semicolons": (_csv(_GOOD.replace(",", ";")), "separated by ';'; save the CSV with commas"),
    "tabs": (_csv(_GOOD.replace(",", "\t")), r"separated by '\\t'; save"),
    "bars": (_csv(_GOOD.replace(",", "|")), r"separated by '\|'; save"),
    "spaces": (_csv(_GOOD.replace(",", " ")), "no label column beside 'image_id label'"),
    "open_quote": (_row('a9,"bag'), "train.csv, row 8: not a CSV row .*close the quotes"),
    "column_twice": (_csv("id,label,label\na000,bag,bag\n"), "row 1: the column 'label' appears"),
    "ids_alone": (_csv("image_id\na000\n"), "no label column beside 'image_id'; .*--test_csv"),
    "zeros": (_csv(bytes(100)), "train.csv: no rows below the header"),
    "nul_in_an_id": (_row("a\0,bag"), r"row 8, 'a\\x00': .* leads out of the images folder"),
    "photo_as_csv": (_csv(_JPEG), "train.csv, row 1: not UTF-8 text"),
    "spreadsheet_as_csv": (_csv(_spreadsheet()), "train.csv"),
    "gzip_as_csv": (_csv(b"\x1f\x8b\x08\0" + bytes(range(256))), "not UTF-8 text"),
    "web_page_as_csv": (_csv("<!DOCTYPE html><html></html>"), "no rows below the header"),
    "json_as_csv": (_csv('{"image_id": "a000"}\n'), "no rows below the header"),
    "folder_as_csv": (
        lambda given: {"csv": given["images_dir"]},
        "images is a folder; .*--layout=folders --images_dir=",
    ),
    "missing": (lambda given: {"csv": given["csv"] + "x"}, "train.csvx: no such CSV file"),
    "cell_too_long": (_row("x" * 200_000 + ",bag"), "train.csv, row 8: .*field limit"),
    "id_twice": (_row("a000,coat"), "row 8, 'a000': the same id is in row 2"),
    "id_twice_by_case": (_row("A000,bag"), "row 8, 'A000': 'a000.jpg' is the file of row 2 too"),
    "id_empty": (_row(",coat"), "row 8, '': the id is empty"),
    "id_without_zeros": (_ids_without_zeros, "there is '000.jpg': the id has lost its zeros"),
    "id_out_of_the_folder": (_row("../../etc/passwd,bag"), "leads out of the images folder"),
    "id_absolute": (_row("/etc/passwd,bag"), "leads out of the images folder"),
    "id_is_the_root": (_row("/,bag"), "row 8, '/': '/.jpg' leads out of the images folder"),
    "id_is_a_dot": (_row(".,bag"), r"row 8, '\.': no file '\.\.jpg'"),
    "id_on_the_web": (_row("http://x/y.jpg,bag"), "row 8, 'http://x/y.jpg': no file"),
    "id_with_a_line_break": (_row('"a0\n06",bag'), r"row 8, 'a0\\n06': no file"),
    "id_with_a_star": (_row("a*,bag"), r"row 8, 'a\*': no file"),
    "id_is_a_formula": (_row("=cmd(),bag"), r"row 8, '=cmd\(\)': no file"),
    "id_of_5000_letters": (_row("x" * 5000 + ",bag"), r"row 8, 'x{149} \.\.\. x+': "),
    "label_empty": (_row("a006,"), "row 8, 'a006': column 'label' is empty"),
    "label_of_spaces": (_row("a006,   "), "row 8, 'a006': column 'label' is empty"),
    "cells_too_many": (_row("a006,bag,coat"), "row 8, 'a006': 3 cells where the header has 2"),
    "cells_too_few": (_row("a006"), "row 8, 'a006': 1 cells where the header has 2"),
    "number_nan": (_one_hot("a003,nan,0,0"), "row 5, 'a003': 'nan' in column 'bag' is not a num"),
    "number_infinite": (_one_hot("a003,inf,0,0"), "row 5, 'a003': 'inf' in column 'bag'"),
    "number_negative": (_one_hot("a003,-1,0,0"), "row 5, 'a003': '-1' in column 'bag'"),
    "number_above_1": (_one_hot("a003,2,0,0"), "row 5, 'a003': '2' in column 'bag'"),
    "number_of_words": (_one_hot("a003,yes,0,0"), "row 5, 'a003': 'yes' in column 'bag'"),
    "number_empty": (_one_hot("a003,,0,0"), "row 5, 'a003': '' in column 'bag'"),
    "number_with_comma": (_one_hot('a003,"0,5","0,5",0'), "row 5, 'a003': '0,5' in column 'bag'"),
    "class_with_a_line_break": (_row('a006,"b\nag"'), r"'b\\nag' cannot be a class name"),
    "class_not_among_those": (_settings(class_names=("bag", "coat")), "'shirt' is not among"),
    "header_blank": (_csv(",,\na000,bag,\n"), "the first row must name the columns"),
    "column_without_name": (_csv("id,label,\na000,bag,\na001,coat,x\n"), "--label_columns"),
    "label_column_missing": (_settings(label_columns=("no",)), r"no column 'no' .*image_id, label"),
    "image_column_missing": (_settings(image_column="no"), r"no column 'no' \(--image_column\)"),
    "group_column_missing": (_settings(folds=2, group_column="no"), r"\(--group_column\)"),
    "split_column_missing": (_settings(split_column="no", test_csv=None), r"\(--split_column\)"),
    "split_unknown": (
        _csv(_SPLITS.format("train", "maybe"), split_column="split", test_csv=None),
        "row 3, 'a001': 'maybe' in column 'split' is not train, eval, test",
    ),
    "split_of_all_is_test": (
        _csv(_SPLITS.format("test", "test"), split_column="split", test_csv=None),
        "all rows are in the split test .*name rows to train on",
    ),
    "time_is_no_date": (
        _csv(_SPLITS.format("2020-01-01", "soon"), time_column="split", eval_fraction=0.5),
        "row 3, 'a001': 'soon' in column 'split' is no date",
    ),
    "folds_more_than_rows": (_settings(folds=50), "the split 'fold6' would be empty"),
    "fixes_missing": (_settings(label_fixes="/no.csv"), "no.csv: there is no such file"),
    "fixes_of_other_columns": (
        lambda given: {"label_fixes": given["csv"]},
        "train.csv has no column 'id'; its first row must be id,given",
    ),
    "parquet_damaged": (_table(".parquet", b"PAR1xxxxPAR1"), "train.parquet: no Parquet file"),
    "parquet_is_a_csv": (_table(".parquet", _GOOD), "train.parquet: no Parquet file"),
    "jsonl_cut": (_table(".jsonl", '{"id":"a000","label":"b"}\n{"id":\n'), "jsonl, row 2: no JSON"),
    "jsonl_of_lists": (_table(".jsonl", '["a000","bag"]\n'), "row 1: .* is no object"),
    "jsonl_too_deep": (_table(".jsonl", '{"id":' + "[" * 100_000 + "\n"), "row 1: no JSON"),
    "jsonl_nested": (_table(".jsonl", '{"id":"a","label":{"x":1}}\n'), "'label' holds dict"),
    "jsonl_number_of_6000_digits": (_table(".jsonl", '{"id":' + "9" * 6000 + "}\n"), "no JSON"),
    "test_missing": (lambda given: {"test_csv": given["csv"] + "x"}, "train.csvx: no such CSV"),
    "test_empty": (
        lambda given: write_csv(given["test_csv"], [("image_id",)]) and {},
        "test.csv: no rows below the header",
    ),
    "test_id_is_labeled": (
        lambda given: write_csv(given["test_csv"], [("image_id",), ("a000",)]) and {},
        "test.csv, row 2, 'a000': the labeled CSV has it too, in row 2",
    ),
}


def _without_images(given):
    shutil.rmtree(given["images_dir"])
    os.mkdir(given["images_dir"])
    return {}


_PLACES = {
    "images_missing": (lambda given: {"images_dir": given["images_dir"] + "x"}, "no such folder"),
    "images_is_a_file": (lambda given: {"images_dir": given["csv"]}, "no such folder of images"),
    "images_empty": (_without_images, "7 missing image.*row 2, 'a000': no file 'a000.jpg'"),
    "output_is_a_file": (lambda given: {"data_dir": given["csv"]}, "choose another --data_dir"),
    "output_in_a_file": (lambda given: {"data_dir": given["csv"] + "/x"}, "another --data_dir"),
    "output_in_proc": (_settings(data_dir="/proc/x"), "/proc/x: .*choose another --data_dir"),
    "output_of_unknown_kind": (_settings(data_dir="nope://x/y"), "nope:// is for reading only"),
    "csv_of_unknown_kind": (_settings(csv="nope://x/y.csv"), "Protocol not known: nope; give"),
}
_IMAGES = {
    "empty": (_image(b""), "the file is empty"),
    "text": (_image(b"hello"), "the content is something that starts with 68 65 6c 6c"),
    "web_page": (_image(b"<html>404</html>"), "the content is HTML"),
    "start_alone": (_image(b"\xff\xd8"), "the header is damaged or cut at byte 2"),
    "start_and_end": (_image(b"\xff\xd8\xff\xd9"), "the header is damaged or cut at byte 2"),
    "cut_before_tables": (_image(_cut_before(0xDB)), "the header is damaged or cut"),
    "cut_before_frame": (_image(_cut_before(0xC0)), "the header is damaged or cut"),
    "cut_in_frame": (_image(_cut_before(0xC0, 6)), "the header is damaged or cut"),
    "cut_before_codes": (_image(_cut_before(0xC4)), "the header is damaged or cut"),
    "cut_before_scan": (_image(_cut_before(0xDA)), "the header is damaged or cut"),
    "cut_in_scan_header": (_image(_cut_before(0xDA, 5)), "no end marker in .* the file was cut"),
    "cut_in_scan": (_image(_JPEG[: len(_JPEG) * 2 // 3]), "no end marker in .* the file was cut"),
    "cut_before_end": (_image(_JPEG[:-2]), "no end marker in .* the file was cut"),
    "jpeg_bomb": (_image(_jpeg_of_size(65_000, 65_000)), "65000x65000 is more than --max_pixels"),
    "png_bomb": (_image(_png_of_size(100_000)), "100000x100000 is more than --max_pixels"),
    "size_0": (_image(_jpeg_of_size(0, 0)), "0x0 with 3 components"),
    "height_0": (_image(_jpeg_of_size(0, 32)), "32x0 with 3 components"),
    "arithmetic_coding": (_image(_jpeg_of_coding(0xC9)), "arithmetic or lossless coding"),
    "lossless_coding": (_image(_jpeg_of_coding(0xC3)), "arithmetic or lossless coding"),
    "gif": (_image(_animation("GIF")), "the content is GIF; convert it to JPEG"),
    "webp_animation": (_image(_animation("WEBP")), "WEBP with 3 frames; save one of them"),
    "webp_cut": (_image(pillow_bytes(picture(), "WEBP")[:40]), "no end in 40 bytes"),
    "16_bits": (_image(_16_bits()), "16 or 32 bits a sample"),
    "png_cut": (_image(_PNG[:60]), "no end in 60 bytes; the file was cut"),
    "png_signature_alone": (_image(_PNG[:8]), "no end in 8 bytes; the file was cut"),
    "png_changed": (_image(_PNG[:40] + bytes([_PNG[40] ^ 1]) + _PNG[41:]), "broken image"),
    "bmp": (_image(pillow_bytes(picture(), "BMP")), "the content is BMP; convert it"),
    "tiff": (_image(pillow_bytes(picture(), "TIFF")), "the content is TIFF; convert it"),
    "heic": (_image(b"\0\0\0\x18ftypheic" + bytes(60)), "not a usable image"),
    "pdf": (_image(b"%PDF-1.7\n" + bytes(100)), "the content is PDF"),
    "svg": (_image(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "not a usable image"),
    "resource_fork": (_image(b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(99)), "not a usable image"),
    "gzip": (_image(b"\x1f\x8b\x08" + bytes(50)), "not a usable image"),
    "git_lfs_pointer": (_image(b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"),
    "missing": (_instead_of_image(lambda path: None), "row 5, 'a003': no file 'a003.jpg'"),
    "folder": (_instead_of_image(Path.mkdir), "'a003.jpg' is no regular file"),
    "pipe": (_instead_of_image(os.mkfifo), "'a003.jpg' is no regular file"),
    "link_to_nothing": (_instead_of_image(lambda p: p.symlink_to("/no")), "leads out of the"),
    "link_out": (_instead_of_image(lambda p: p.symlink_to("/etc/passwd")), "--follow_symlinks"),
    "link_to_a_device": (_instead_of_image(lambda p: p.symlink_to("/dev/zero")), "leads out of"),
    "link_to_itself": (_instead_of_image(lambda p: p.symlink_to(p)), "Too many levels"),
}
_ALL = {
    f"{kind}_{name}": row
    for kind, table in (("table", _TABLES), ("place", _PLACES), ("image", _IMAGES))
    for name, row in table.items()
}


def _one_line(caught, words):
    text = str(caught.value)
    assert "\n" not in text and len(text) < 1200, text
    assert caught.match(words)


@pytest.mark.parametrize("name", _ALL)
def test_prepare_of_a_bad_input_is_one_line_and_leaves_no_dataset(name, tmp_path):
    spoil, words = _ALL[name]
    given = make_input(tmp_path / "in", rows=6, test_rows=1)
    settings = {**given, "workers": 1, "data_dir": str(tmp_path / "out"), **spoil(given)}
    with pytest.raises(OrchardError) as caught:
        run(settings.pop("data_dir"), **settings)
    _one_line(caught, words)
    # What may be there is unfinished, and says so by its name.
    assert set(os.listdir(tmp_path / "out") if (tmp_path / "out").exists() else ()) <= {".staging"}


_NFD = unicodedata.normalize("NFD", "é")


def _renamed(old, new):
    def change(given):
        folder = Path(given["images_dir"])
        (folder / old).rename(folder / new)
        return {}

    return change


def _forks_beside(given):
    for name in ("._a000.jpg", ".DS_Store", "Thumbs.db"):
        Path(given["images_dir"], name).write_bytes(b"\0\5\x16\7")
    os.mkdir(Path(given["images_dir"], ".ipynb_checkpoints"))
    return {}


_ODD = {
    "byte_order_mark": _csv(_GOOD.encode("utf-8-sig")),
    "carriage_returns": _csv(_GOOD.replace("\n", "\r\n")),
    "no_end_of_line": _csv(_GOOD.rstrip("\n")),
    "quotes_around_all": _csv("\n".join(f'"{a}","{b}"' for a, b in map(
        lambda line: line.split(","), _GOOD.split()))),
    "spaces_around_cells": _csv(_GOOD.replace(",", " , ")),
    "empty_lines": _csv(_GOOD.replace("\n", "\n\n")),
    "index_of_pandas": _csv("".join(
        f"{'' if not n else n - 1},{line}\n" for n, line in enumerate(_GOOD.split()))),
    "names_of_files": _csv(_HEADER + "".join(r.replace(",", ".jpg,") + "\n" for r in _ROWS)),
    "names_with_folder": _csv(_HEADER + "".join(f"images/{row}\n" for row in _ROWS)),
    "endings_in_capitals": _renamed("a000.jpg", "a000.JPG"),
    "forks_beside": _forks_beside,
}  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What the records of the good input are."""
    folder = tmp_path_factory.mktemp("plain")
    given = make_input(folder / "in", rows=6, test_rows=1)
    return given, _records(run(folder / "out", **given, workers=1)[0])


def _records(dataset):
    records = load_records(dataset)
    return {
        (row.split, row.id.removeprefix("images/").removesuffix(".jpg")): (
            row.image_crc32c,
            row.target.tolist(),
        )
        for row in records.itertuples()
    }


@pytest.mark.parametrize("name", _ODD)
def test_prepare_of_an_odd_input_has_the_records_of_the_plain_one(name, plain, tmp_path):
    given = make_input(tmp_path / "in", rows=6, test_rows=1)
    settings = {**given, "workers": 1, **_ODD[name](given)}
    assert _records(run(tmp_path / "out", **settings)[0]) == plain[1]


def test_prepare_of_an_id_in_another_unicode_form_finds_its_file(tmp_path):
    given = make_input(tmp_path / "in", rows=6, test_rows=1)
    _renamed("a000.jpg", f"{_NFD}.jpg")(given)
    _csv(_GOOD.replace("a000", "é"))(given)
    dataset, _ = run(tmp_path / "out", **given, workers=1)
    assert "é" in load_records(dataset)["id"].tolist()


def test_prepare_in_an_odd_environment_leaves_the_usual_bytes(plain, tmp_path):
    given, _ = plain
    usual, _ = run(tmp_path / "usual", **given, workers=1)
    flags = {**given, "name": "clothes", "version": "1.0.0", "workers": 1}
    odd = {
        "KERAS_BACKEND": "torch",
        "LC_ALL": "C",
        "TZ": "Pacific/Kiritimati",
        "PYTHONHASHSEED": "1",
        "TF_CONFIG": "{",
        "HOME": "/proc",
    }
    done = subprocess.run(
        [
            *(sys.executable, "-O", "-m", "data_prep.main", f"--data_dir={tmp_path / 'odd'}"),
            *(f"--{name}={value}" for name, value in flags.items()),
        ],
        env=os.environ | odd,
        umask=0o077,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "odd" / "clothes" / "1.0.0") == digests(usual)


_PREP = {"csv": "a.csv", "images_dir": "i", "name": "x", "version": "1.0.0", "data_dir": "d"}
_TRAIN = {"dataset": "d", "run_dir": "r", "architecture": "mobilenet_v2"}
_ENSEMBLE = {"members": ("r",), "dataset": "d", "output_dir": "o"}
_CONTRADICTIONS = {
    PrepConfig: (
        (_PREP, {"name": "Plants"}, "--name=Plants"),
        (_PREP, {"version": "1"}, "--version=1: give three numbers"),
        (_PREP, {"folds": 1}, "--folds=1"),
        (_PREP, {"folds": -1}, "--folds=-1"),
        (_PREP, {"folds": 3, "eval_fraction": 0.2}, "--folds and --eval_fraction exclude"),
        (_PREP, {"eval_fraction": 1.0}, "--eval_fraction=1"),
        (_PREP, {"eval_fraction": 0.6, "holdout_fraction": 0.6}, "leave nothing to train on"),
        (_PREP, {"short_side_px": 8, "square_px": 8}, "exclude each other"),
        (_PREP, {"fold_repeats": 2}, "--fold_repeats=2 needs --folds"),
        (_PREP, {"extension": "jpg"}, "--extension=jpg: it starts with a dot"),
        (_PREP, {"beam_options": "x"}, "--beam_options needs --engine=beam"),
        (_PREP, {"layout": "tree"}, "--layout=tree"),
        (_PREP, {"jpeg_quality": 101}, "--jpeg_quality=101"),
        (_PREP, {"class_names": ("a", "a")}, "a name appears twice"),
        (_PREP, {"seed": -1}, "--seed=-1"),
    ),
    TrainConfig: (
        (_TRAIN, {"architecture": "mobilnet_v2"}, "mobilnet_v2.*mobilenet_v2"),
        (_TRAIN, {"architecture": "no/such.keras"}, "no/such.keras"),
        (_TRAIN, {"image_size": "big"}, "--image_size=big: give N or HEIGHTxWIDTH"),
        (_TRAIN, {"image_size": "8"}, "--image_size"),
        (_TRAIN, {"learning_rate": -1.0}, "--learning_rate=-1"),
        (_TRAIN, {"epochs": 0.0}, "--epochs=0"),
        (_TRAIN, {"optimizer": "adm"}, "--optimizer=adm"),
        (_TRAIN, {"fold": "x"}, "--fold=x"),
        (_TRAIN, {"preprocessing": "1/0"}, "--preprocessing=1/0"),
        (_TRAIN, {"profile_steps": "5"}, "--profile_steps=5: give FIRST,LAST"),
        (_TRAIN, {"dropout": 1.0}, "--dropout=1"),
        (_TRAIN, {"best_metric": "f2"}, "--best_metric=f2"),
        (_TRAIN, {"feature_views": 2}, "--feature_views=2 is for frozen features"),
    ),
    EnsembleConfig: (
        (_ENSEMBLE, {"members": ()}, "--members"),
        (_ENSEMBLE, {"combine": "sum"}, "--combine=sum"),
        (_ENSEMBLE, {"weights": "best"}, "--weights=best"),
        (_ENSEMBLE, {"weights": "1,-1"}, "--weights=1,-1"),
        (_ENSEMBLE, {"metric": "f2"}, "--metric=f2"),
        (_ENSEMBLE, {"cascade_flops": 2.0}, "--cascade_flops=2"),
        (_ENSEMBLE, {"conformal": 1.5}, "--conformal=1.5"),
    ),
}


@pytest.mark.parametrize(
    ("kind", "good", "changes", "words"),
    [(kind, *row) for kind, table in _CONTRADICTIONS.items() for row in table],
    ids=lambda value: (
        ",".join(f"{k}={v}" for k, v in value.items())[:40] if isinstance(value, dict) else ""
    ),
)
def test_config_of_impossible_flags_is_refused_in_one_line(kind, good, changes, words):
    with pytest.raises(OrchardError) as caught:
        kind(**{**good, **changes})
    _one_line(caught, words)
    kind(**good)


_NO_JSON = (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema_version": 99}', b"[" * 10_000)


@pytest.mark.parametrize("kind", [Manifest, RunRecord, EnsembleRecord])
@pytest.mark.parametrize("content", _NO_JSON, ids=lambda content: content[:12].decode("latin-1"))
def test_record_of_another_content_is_refused_by_its_path(kind, content, tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(OrchardError) as caught:
        kind.load(str(path))
    _one_line(caught, "record.json")
