import json

import numpy as np
import pytest

from orchard.errors import OrchardError
from trainer import TrainConfig
from trainer.optim import LOSSES
from trainer.optim.loss import Loss, LossOptions


def test_losses_registered_have_both_formulas():
    assert {"cross_entropy", "focal"} <= set(LOSSES.names())
    for name in LOSSES.names():
        loss = LOSSES[name]
        assert issubclass(loss, Loss)
        assert loss.one_label is not Loss.one_label and loss.many_labels is not Loss.many_labels


def test_losses_wrong_answers_cost_more_than_right_ones():
    logits = np.array([[4, 0, 0], [0, 4, 0]], np.float32)
    targets = np.array([[1, 0, 0], [1, 0, 0]], np.float32)
    for name in LOSSES.names():
        loss = LOSSES[name]()
        one, many = loss.one_label(logits, targets), loss.many_labels(logits, targets)
        assert one.shape == (2,) and one[0] < one[1]
        assert many.shape == (2, 3) and many[0, 0] < many[1, 0]


def test_loss_options_have_the_fields_of_every_loss():
    assert LossOptions(focal_gamma=1.5).focal_gamma == 1.5
    with pytest.raises(OrchardError, match="focal_gamma.*-1"):
        LossOptions(focal_gamma=-1)


def test_chosen_loss_of_a_config_has_its_flags_and_survives_json(tmp_path):
    config = TrainConfig(
        dataset="data/leaves/1.0.0",
        run_dir=str(tmp_path),
        architecture="mobilenet_v2",
        image_size="64",
        fold="0",
        loss="focal",
        loss_options=LossOptions(focal_gamma=0.5),
    )
    again = TrainConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again.chosen_loss == config.chosen_loss == LOSSES["focal"](focal_gamma=0.5)
