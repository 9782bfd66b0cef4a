import subprocess
import sys

import numpy as np
from PIL import Image

from tests.trainer.datasets import jpeg, smooth_image, write_dataset


def preview(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "trainer.preview", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


def test_preview_each_shows_every_augmentation_beside_the_plain_image(tmp_path):
    images = [jpeg(smooth_image(i, 40, 60)) for i in range(6)]
    dataset = write_dataset(tmp_path / "data", images, [0, 1] * 3)
    output = tmp_path / "sheet.png"
    flags = (f"--dataset={dataset}", f"--output={output}", "--image_size=32", "--epochs=3")
    result = preview(*flags, "--each")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(output)
    sheet = np.asarray(Image.open(output))
    rows, columns = 14, 4
    assert sheet.shape == (rows * 64 + 6, columns * 38 + 6, 3)

    def cell(row, column):
        return sheet[6 + row * 64 + 26 :, 6 + column * 38 :][:32, :32].astype(int)

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
        f"--dataset={dataset}", f"--output={output}", "--image_size=32x48", "--epochs=1", "--each"
    )
    assert result.returncode == 0, result.stderr
    assert Image.open(output).size == (2 * 54 + 6, 13 * 64 + 6)


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
