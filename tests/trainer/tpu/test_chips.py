import pytest

from orchard.errors import OrchardError
from trainer.tpu.chips import CHIPS, parse_topology


def test_parse_topology_counts_chips_and_replicas():
    v5e = parse_topology("v5e:4x4")
    assert (v5e.name, v5e.num_chips, v5e.num_replicas) == ("v5e:4x4", 16, 16)
    # A v3 chip has two cores, and each core is a replica of its own.
    v3 = parse_topology("v3:2x2")
    assert (v3.num_chips, v3.num_replicas) == (4, 8)
    assert parse_topology("v4:2x2x4").num_replicas == 16
    # So is each of a TPU7x chip's.
    assert parse_topology("tpu7x:2x2x1").num_replicas == 8


@pytest.mark.parametrize("text", ["v5e", "v9:2x2", "v5e:2x2x2", "v4:2x2", "v5e:0x2", "v5e:2X2", ""])
def test_parse_topology_of_other_text_is_refused_naming_it(text):
    with pytest.raises(OrchardError, match="--topology=" + text):
        parse_topology(text)


def test_chip_figures_of_devices_add_up_to_the_published_ones():
    # cloud.google.com/tpu/docs/v3: 123 TFLOP/s and 900 GB/s a chip of two cores.
    v3 = CHIPS["v3"]
    assert v3.peak_flops_per_second * v3.devices_per_chip == pytest.approx(123e12)
    assert v3.hbm_bytes_per_second * v3.devices_per_chip == pytest.approx(900e9)
    assert CHIPS["v5e"].ridge_flops_per_byte == pytest.approx(197e12 / 819e9)
