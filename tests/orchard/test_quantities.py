import pytest

from orchard.quantities import format_flops, format_number, format_seconds


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.9, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.9, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_format_seconds_says_two_units_at_most(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    "number, text", [(0, "0"), (0.012345, "0.0123"), (1.2345, "1.23"), (12_345, "12,300")]
)
def test_format_number_has_three_digits(number, text):
    assert format_number(number) == text


def test_format_flops_counts_billions():
    assert format_flops(771_629_504) == "0.772 GFLOPs"
