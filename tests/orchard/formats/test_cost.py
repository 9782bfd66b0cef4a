import pytest

from orchard.formats import ComputeTime


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
