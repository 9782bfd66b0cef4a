import shutil
from pathlib import Path

import pytest

from data_prep.pipeline import prepare
from orchard.errors import OrchardError
from tests.data_prep.builders import (
    config,
    digests,
    fill_disk,
    interrupted,
    jpeg,
    pillow_bytes,
    pixels,
    rotated_jpeg,
    run,
)


def test_write_shard_of_an_image_that_changed_since_its_check_stops(given, tmp_path, monkeypatch):
    fill_disk(monkeypatch)
    images = Path(given["images_dir"])
    shutil.copy(images / "a000.jpg", images / "a001.jpg")

    def change_image(line):
        # Said when all images were checked and none is written.
        if "identical images" in line:
            (images / "a002.jpg").write_bytes(jpeg(99))

    with pytest.raises(OrchardError, match="row 4, 'a002.jpg': the file changed while"):
        prepare(config(tmp_path / "out", **given), change_image)
    assert not (tmp_path / "out" / "clothes").exists()


def test_write_shard_after_another_version_encoded_it_writes_it_again(given, tmp_path, monkeypatch):
    Path(given["images_dir"], "a001.jpg").write_bytes(rotated_jpeg(6))
    with monkeypatch.context() as patch:
        patch.setattr("data_prep.plan.build.deciding_versions", lambda form: {"simplejpeg": "0.1"})
        interrupted(tmp_path / "out", patch, folds=3, **given)
    directory, said = run(tmp_path / "out", folds=3, **given)
    assert "3 of 4 shards are there already and undamaged" in said
    assert digests(directory) == digests(run(tmp_path / "fresh", folds=3, **given)[0])


def test_write_shard_of_an_undecodable_image_names_it(given, tmp_path):
    data = bytearray(jpeg(1, 200, 200))
    data[len(data) // 2 : -2] = b"\x00" * (len(data) - 2 - len(data) // 2)
    Path(given["images_dir"], "a004.jpg").write_bytes(bytes(data))
    # The sample that estimates sizes would find it in so small a set.
    with pytest.raises(OrchardError, match="a004"):
        run(tmp_path / "out", short_side_px=50, **given)
    assert not (tmp_path / "out" / "clothes").exists()


def test_write_shard_of_every_kind_of_image_makes_jpegs_that_the_card_counts(given, tmp_path):
    from PIL import Image

    images = Path(given["images_dir"])
    picture = Image.fromarray(pixels(7))
    (images / "a000.jpg").write_bytes(pillow_bytes(picture, "PNG"))
    (images / "a001.jpg").write_bytes(rotated_jpeg(6))
    (images / "a002.jpg").write_bytes(pillow_bytes(picture.convert("CMYK"), "JPEG"))
    (images / "a003.webp").write_bytes(pillow_bytes(picture, "WEBP"))
    text = Path(given["csv"]).read_text().replace("a003,", "a003.webp,")
    Path(given["csv"]).write_text(text)
    directory, _ = run(tmp_path / "out", **given)
    card = Path(directory, "report.html").read_text()
    for kind in ("PNG", "WEBP", "CMYK JPEG", "rotated JPEG"):
        assert f"<tr><td>{kind}</td>" in card
    from data_prep.verification.audit import audit_dataset

    audit_dataset(directory, workers=1, decode_check=True)
