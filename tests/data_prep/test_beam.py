"""Apache Beam for real: worker processes of the DirectRunner."""

from pathlib import Path

import pytest

from data_prep.errors import OrchardError
from tests.data_prep.builders import digests, make_input, run

pytest.importorskip("apache_beam")

PROCESSES = "--runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=2"
THREADS = "--runner=DirectRunner --direct_running_mode=in_memory"


def test_worker_processes_leave_the_pools_bytes(tmp_path):
    given = make_input(tmp_path / "in")
    options = {"folds": 3, "short_side_px": 16}
    pool, _ = run(tmp_path / "pool", **options, **given)
    beam, _ = run(tmp_path / "beam", engine="beam", beam_options=PROCESSES, **options, **given)
    assert digests(pool) == digests(beam)
    assert not (tmp_path / "beam" / ".staging" / "clothes" / "1.0.0").exists()


def test_bad_input_is_one_line_through_beam_too(tmp_path):
    given = make_input(tmp_path / "in")
    Path(given["images_dir"], "a003.jpg").unlink()
    with pytest.raises(OrchardError, match="row 5, 'a003': no file 'a003.jpg'"):
        run(tmp_path / "out", engine="beam", beam_options=THREADS, **given)
