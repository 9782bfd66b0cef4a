import pytest

from orchard.errors import OrchardError
from trainer.tpu import PreflightOptions


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"chip_hour_price": 2.0}, "add --plan"),
        ({"plan": True, "spot_price": 1.0}, "add --chip_hour_price"),
        (
            {"plan": True, "chip_hour_price": 2.0, "spot_price": 1.0, "preemption_hours": 0.1},
            "--preemption_hours=0.1: a training would not get on",
        ),
    ],
)
def test_preflight_options_of_prices_that_make_no_sense_are_refused(fields, complaint):
    with pytest.raises(OrchardError, match=complaint):
        PreflightOptions(**fields)


def test_preflight_options_hold_prices_only_where_they_were_given():
    assert PreflightOptions(plan=True).prices is None
    prices = PreflightOptions(plan=True, chip_hour_price=4.2, spot_price=2.1).prices
    assert (prices.chip_hour, prices.spot_chip_hour) == (4.2, 2.1)
    assert prices.spot.preemption_seconds == 24 * 3600
