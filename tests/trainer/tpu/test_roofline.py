import pytest

from trainer.tpu.chips import CHIPS
from trainer.tpu.roofline import roofline


def test_roofline_of_much_arithmetic_is_limited_by_compute():
    bound = roofline(CHIPS["v5e"], flops=197e12, bytes_accessed=81.9e9, batch_size=64)
    assert bound.limited_by == "compute"
    assert bound.step_seconds == pytest.approx(1.0)
    assert bound.images_per_second == pytest.approx(64)


def test_roofline_of_many_bytes_is_limited_by_memory():
    bound = roofline(CHIPS["v5e"], flops=1e9, bytes_accessed=819e9 / 2, batch_size=8)
    assert bound.limited_by == "memory"
    assert bound.step_seconds == pytest.approx(0.5)
    assert bound.images_per_second == pytest.approx(16)
    assert bound.flops_per_byte == pytest.approx(1e9 / (819e9 / 2))
