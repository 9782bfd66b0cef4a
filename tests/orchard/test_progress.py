import threading

from orchard import progress


def test_bar_counts_images_and_shows_their_rate(capsys):
    with progress.bar("writing", 3) as bar:
        bar._bar.start_t -= 1.5
        bar.add(2, 5_000_000)
        bar.add(1, 1_000_000)
    shown = capsys.readouterr().err.splitlines()[-1]
    assert "writing: 100%" in shown and "3/3" in shown and "MB/s" in shown
    assert " images/s" in shown
    assert bar.num_bytes == 6_000_000


def test_bar_of_less_than_a_second_shows_no_rate(capsys):
    with progress.bar("writing", 3) as bar:
        bar.add(3, 6_000_000)
    shown = capsys.readouterr().err.splitlines()[-1]
    assert "writing: 100%" in shown and "3/3" in shown and "6.0 MB" in shown
    assert "/s" not in shown


def test_bar_of_images_alone_shows_no_bytes(capsys):
    with progress.bar("reading", 3) as bar:
        bar._bar.start_t -= 1.5
        bar.add(3)
    shown = capsys.readouterr().err.splitlines()[-1]
    assert "reading: 100%" in shown and " images/s" in shown and "MB" not in shown


def test_bar_print_goes_to_stdout(capsys):
    with progress.bar("writing", 1) as bar:
        bar.print("a line")
    assert capsys.readouterr().out == "a line\n"


def test_bar_starts_no_thread():
    before = set(threading.enumerate())
    with progress.bar("writing", 1):
        assert set(threading.enumerate()) == before
