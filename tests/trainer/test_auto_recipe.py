import dataclasses

import pytest

from orchard.errors import OrchardError
from trainer.auto_recipe import Facts, choose, describe, facts_of
from trainer.runtime import HardwareOptions

_LARGE = Facts(20_000, 400, "gpu")


@pytest.mark.parametrize(
    ("facts", "network", "side_px", "batch"),
    [
        (_LARGE, "efficientnet_b3", 300, 32),
        (dataclasses.replace(_LARGE, num_rows=9_999), "efficientnet_b0", 224, 32),
        (dataclasses.replace(_LARGE, short_side_px=299), "efficientnet_b0", 224, 32),
        (dataclasses.replace(_LARGE, device_kind="cpu"), "efficientnet_b0", 128, 32),
        (dataclasses.replace(_LARGE, short_side_px=223), "efficientnet_b0", 192, 32),
        (dataclasses.replace(_LARGE, short_side_px=28), "efficientnet_b0", 64, 32),
        (Facts(640, 100, "cpu"), "efficientnet_b0", 96, 32),
        (Facts(639, 100, "cpu"), "efficientnet_b0", 96, 16),
        (Facts(319, 100, "gpu"), "efficientnet_b0", 96, 8),
        (Facts(9, 100, "gpu"), "efficientnet_b0", 96, 8),
    ],
)
def test_choose_network_size_and_batch_by_rows_images_and_device(facts, network, side_px, batch):
    assert choose(facts) == {
        "architecture": network,
        "image_size": str(side_px),
        "batch_size": str(batch),
    }


@pytest.mark.parametrize(
    ("architecture", "side_px"),
    [("inception_v3", 299), ("efficientnet_b7", 384), ("mine.keras", 224), ("unknown", 224)],
)
def test_choose_for_a_given_network_keeps_it_and_finds_its_size(architecture, side_px):
    chosen = choose(_LARGE, architecture)
    assert (chosen["architecture"], chosen["image_size"]) == (architecture, str(side_px))


def test_choose_for_tiny_images_is_not_below_what_the_network_takes():
    assert choose(Facts(100, 28, "cpu"), "inception_v3")["image_size"] == "96"


def test_choose_on_a_tpu_is_a_batch_a_replica():
    chosen = choose(dataclasses.replace(_LARGE, device_kind="tpu"))
    assert chosen["batch_size_per_replica"] == "16" and "batch_size" not in chosen


def test_facts_of_a_dataset_are_its_rows_and_the_images_size(tiny_dataset):
    assert facts_of(tiny_dataset, HardwareOptions(accelerator="gpu")) == Facts(54, 16, "gpu")


def test_facts_of_no_dataset_is_refused():
    with pytest.raises(OrchardError, match="--recipe=auto looks at the dataset: give --dataset"):
        facts_of("", HardwareOptions())


def test_describe_is_one_line_with_the_facts_and_the_flags():
    assert describe(_LARGE, {"image_size": "300"}) == (
        "--recipe=auto: 20,000 rows of 400 px on gpu: --image_size=300, the rest as --recipe=fast"
    )
