import pytest

from orchard.formats import ComputeTime, TrainingCost, total_images


@pytest.mark.parametrize(
    "device_seconds, kind, charged",
    [
        (0.0, "cpu", (7.0, "CPU-s")),
        (40.0, "gpu", (40.0, "GPU-s")),
        (40.0, "cpu", (40.0, "device-s")),
    ],
)
def test_compute_time_is_charged_by_its_devices_where_it_has_some(device_seconds, kind, charged):
    time = ComputeTime(10.0, 7.0, device_seconds, kind, 4)
    assert (time.charged_seconds, time.unit) == charged


def test_total_images_of_one_that_is_not_known_are_not_known():
    known = TrainingCost(None, 100, 7, 5)
    assert total_images([known, known]) == 200
    assert total_images([known, None]) is None
    assert total_images([known, TrainingCost(None, None, 7, 5)]) is None
