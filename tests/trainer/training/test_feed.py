import numpy as np
import pytest

from orchard.errors import OrchardError
from tests.trainer import runs
from tests.trainer.datasets import jpeg, smooth_image, write_dataset
from trainer.augment import AugmentOptions
from trainer.data import load_records
from trainer.runtime import connect_to_train
from trainer.training import plan as plans
from trainer.training.feed import Feed


def _feed(config, split="fold1+fold2"):
    accelerator, records = connect_to_train(config), load_records(config.dataset, split)
    plan = plans.make_plan(config, plans.Splits(split, "fold0"), len(records.ids), 1)
    return Feed(config, accelerator, plan, records)


def _gids(batches):
    return [batch["index"].numpy().tolist() for batch in batches]


def test_train_batches_have_the_records_that_batch_ids_names(tmp_path, tiny_dataset, tiny_backbone):
    feed = _feed(runs.config(tiny_dataset, tiny_backbone, tmp_path, seed=3))
    for step, gids in enumerate(_gids(feed.train_batches(start_step=4, num_steps=3)), 4):
        assert [str(feed.records.ids[gid]) for gid in gids] == feed.batch_ids(step)


def test_train_batches_end_after_the_steps(tmp_path, tiny_dataset, tiny_backbone):
    feed = _feed(runs.config(tiny_dataset, tiny_backbone, tmp_path))
    assert len(list(feed.train_batches(start_step=2, num_steps=5))) == 5


@pytest.mark.parametrize(("wanted", "batches"), [(10, 2), (16, 2), (10_000, 5)])
def test_moment_batches_are_as_many_as_asked_for_and_an_epoch_at_most(
    wanted, batches, tmp_path, tiny_dataset, tiny_backbone
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path, precise_batch_norm_images=wanted)
    assert len(list(_feed(config).moment_batches())) == batches


def test_moment_batches_are_the_same_every_time_and_in_no_order_of_training(
    tmp_path, tiny_dataset, tiny_backbone
):
    rotating = AugmentOptions(flips="both", rotate_degrees=20)
    feed = _feed(runs.config(tiny_dataset, tiny_backbone, tmp_path, augment=rotating))
    batches = feed.moment_batches()
    once, again = list(batches), list(batches)
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
    assert _gids(once) != _gids(feed.train_batches(0, len(once)))
    # As they are: whatever training draws, it is not drawn here.
    plain = _feed(runs.config(tiny_dataset, tiny_backbone, tmp_path)).moment_batches()
    for one, other in zip(once, plain, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])


def test_damage_named_names_the_record(tmp_path, tiny_backbone):
    images = [jpeg(smooth_image(i, 16, 16)) for i in range(8)]
    images[5] = b"\xff\xd8\xff no image"
    dataset = write_dataset(tmp_path / "data", images, [0, 1] * 4)
    feed = _feed(runs.config(dataset, tiny_backbone, tmp_path / "run", fold=""), "train")
    with pytest.raises(OrchardError, match="1 damaged record: .*'r5'"), feed.damage_named():
        list(feed.train_batches(0, 1))
