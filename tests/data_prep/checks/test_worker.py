from pathlib import Path

import pytest

from orchard.errors import OrchardError
from tests.data_prep.builders import (
    jpeg,
    run,
)


def test_check_files_with_decode_check_finds_pixels_that_break_in_training(given, tmp_path):
    data = bytearray(jpeg(1, 200, 200))
    data[len(data) // 2 : -2] = b"\x00" * (len(data) - 2 - len(data) // 2)
    Path(given["images_dir"], "a004.jpg").write_bytes(bytes(data))
    with pytest.raises(OrchardError, match="1 undecodable image.*'a004'"):
        run(tmp_path / "out", decode_check=True, **given)
