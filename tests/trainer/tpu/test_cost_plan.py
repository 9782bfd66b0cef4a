import pytest

from trainer.config import LengthOptions
from trainer.tpu.cost_plan import Slice, Workload, cost_plan

ON = Slice(num_chips=4, num_hosts=1, batch_size=64, max_images_per_second=4000.0, utilization=0.5)


def test_cost_plan_on_one_host_has_steps_hours_and_cores_from_the_bound():
    workload = Workload(
        num_records=64_000,
        num_bytes=26_000_000_000,
        length=LengthOptions(epochs=90),
        decode_images_per_second=250.0,
    )
    plan = cost_plan(workload, ON)
    assert plan.total_steps == 90_000
    assert plan.images_per_second == 2000
    assert plan.hours == pytest.approx(64_000 * 90 / 2000 / 3600)
    assert plan.chip_hours == pytest.approx(4 * plan.hours)
    assert plan.cores_per_host == pytest.approx(8)
    # 26 GB at 128 MB a shard.
    assert plan.num_shards == 204


def test_cost_plan_of_several_hosts_shares_feed_and_shards():
    workload = Workload(10_000, 4_000_000_000, LengthOptions(epochs=10), None)
    on = Slice(
        num_chips=16, num_hosts=4, batch_size=256, max_images_per_second=8000.0, utilization=1.0
    )
    plan = cost_plan(workload, on)
    assert plan.images_per_second_per_host == 2000
    assert plan.num_shards % 4 == 0
    assert plan.cores_per_host is None
