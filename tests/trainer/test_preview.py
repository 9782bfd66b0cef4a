import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.trainer.datasets import jpeg, smooth_image, write_dataset


def preview(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "trainer.preview", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


def test_preview_each_shows_every_augmentation_beside_the_plain_image(tmp_path):
    images = [jpeg(smooth_image(i, 40, 60)) for i in range(6)]
    dataset = write_dataset(tmp_path / "data", images, [0, 1] * 3)
    output = tmp_path / "sheet.png"
    flags = (f"--dataset={dataset}", f"--output={output}", "--image_size=32", "--columns=3")
    result = preview(*flags, "--each")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(output)
    sheet = np.asarray(Image.open(output))
    rows, columns = 14, 4
    # Images of 32 px are drawn twice as large.
    assert sheet.shape == (rows * 96 + 6, columns * 70 + 6, 3)

    def cell(row, column):
        drawn = sheet[6 + row * 96 + 26 :, 6 + column * 70 :][:64, :64].astype(int)
        assert (drawn == drawn[::2, ::2].repeat(2, axis=0).repeat(2, axis=1)).all()
        return drawn

    plain = cell(0, 0)
    for row in range(rows):
        assert (cell(row, 0) == plain).all()
        assert any((cell(row, column) != plain).any() for column in range(1, columns))


def test_preview_each_of_images_that_are_not_square_leaves_out_quarter_turns(tmp_path):
    dataset = write_dataset(
        tmp_path / "data", [jpeg(smooth_image(i, 40, 60)) for i in range(2)], [0, 1]
    )
    output = tmp_path / "sheet.png"
    result = preview(
        f"--dataset={dataset}", f"--output={output}", "--image_size=32x48", "--columns=1", "--each"
    )
    assert result.returncode == 0, result.stderr
    assert Image.open(output).size == (2 * 102 + 6, 13 * 96 + 6)


def test_preview_split_of_one_record_is_refused_in_one_line(tmp_path):
    dataset = write_dataset(tmp_path / "data", [jpeg(smooth_image(0, 40, 60))], [0])
    result = preview(f"--dataset={dataset}", f"--output={tmp_path / 'sheet.png'}")
    assert result.returncode == 1
    assert "split train has one record" in result.stderr.splitlines()[-1]


def test_preview_output_that_is_no_png_is_refused_in_one_line(tmp_path):
    result = preview(f"--dataset={tmp_path}", "--output=sheet.jpg")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: --output=sheet.jpg: name a .png file")
    assert "Traceback" not in result.stderr


@pytest.fixture
def dataset(tmp_path):
    images = [jpeg(smooth_image(i, 40, 60)) for i in range(4)]
    return write_dataset(tmp_path / "data", images, [0, 1] * 2)


def sheet_of(tmp_path, dataset, *flags):
    """Its cells without captions, [row][column] of [height, width, 3], and what was said."""
    output = tmp_path / "sheet.png"
    result = preview(f"--dataset={dataset}", f"--output={output}", "--images=2", *flags)
    assert result.returncode == 0, result.stderr
    return np.asarray(Image.open(output)), result.stderr


def test_preview_of_a_trainings_flagfile_shows_its_size_and_augmentation(tmp_path, dataset):
    flagfile = tmp_path / "training.flags"
    flagfile.write_text(
        "# A training.\n--architecture=mobilenet\n--weights=none\n--image_size=32x48\n"
        "--epochs=40\n--run_dir=runs/a\n--batch_size=8\n--flips=none\n--brightness=0.5\n"
    )
    sheet, said = sheet_of(tmp_path, dataset, f"--flagfile={flagfile}", "--columns=2")
    assert sheet.shape == (2 * 96 + 6, 3 * 102 + 6, 3)
    assert "note:" not in said
    by_flags, _ = sheet_of(
        tmp_path, dataset, "--image_size=32x48", "--flips=none", "--brightness=0.5", "--columns=2"
    )
    assert (sheet == by_flags).all()


def test_preview_of_a_recipe_shows_its_augmentation(tmp_path, dataset):
    sheet, _ = sheet_of(tmp_path, dataset, "--recipe=smoke", "--epochs=3")
    assert sheet.shape == (2 * (64 + 32) + 6, 7 * 70 + 6, 3)  # 64 px, six columns of epochs.


def test_preview_epochs_without_a_training_are_its_columns_and_it_says_so(tmp_path, dataset):
    sheet, said = sheet_of(tmp_path, dataset, "--image_size=32", "--epochs=1")
    assert sheet.shape == (2 * 96 + 6, 2 * 70 + 6, 3)
    assert "note: --epochs=1 is taken for --columns=1" in said


def test_preview_of_an_impossible_training_is_refused_as_the_training_would_be(tmp_path, dataset):
    flags = ("--architecture=mobilenet", "--batch_size=3", "--mixup_alpha=0.2", "--weights=none")
    result = preview(f"--dataset={dataset}", f"--output={tmp_path / 'sheet.png'}", *flags)
    assert result.returncode == 1
    assert "--batch_size=3 must be even" in result.stderr.splitlines()[-1]
