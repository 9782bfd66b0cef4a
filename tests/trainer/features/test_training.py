import dataclasses
import os

import numpy as np
import pytest

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import NO_SPLIT, FoldsRecord, RunDir, RunRecord, load_logits
from tests.trainer import runs as tiny
from tests.trainer.features import runs
from trainer import folds
from trainer.data import load_records, read_few
from trainer.features import train_head
from trainer.heads import HEADS, HeadLoss, solver
from trainer.loggers import Loggers
from trainer.loop import train_and_evaluate
from trainer.models import BACKBONE_LAYER, NetworkOptions, build_network
from trainer.results import export_only
from trainer.runtime import StopRequests, connect_to_train
from trainer.training.assembly import prepare
from trainer.training.opening import opening_lines


def part(config, name) -> RunDir:
    return RunDir(os.path.join(config.run_dir, name))


def encoded(records) -> list[bytes]:
    from orchard.formats import tfrecord

    payloads = read_few(records, list(range(len(records))))
    return [tfrecord.Example(payload).bytes_of("image") for payload in payloads]


@pytest.fixture(scope="module")
def fold0(frozen_folds):
    return part(frozen_folds, "fold0"), RunRecord.load(part(frozen_folds, "fold0").record_file)


def test_train_head_saved_model_gives_the_held_out_logits(fold0, tiny_dataset):
    import tensorflow as tf

    folder, _ = fold0
    scored, records = (
        load_logits(folder.eval_logits_file("fold0")),
        load_records(tiny_dataset, "fold0"),
    )
    np.testing.assert_array_equal(scored.ids, records.ids)
    model = tf.saved_model.load(folder.saved_model_dir)
    logits = model.signatures["serving_default"](image_bytes=tf.constant(encoded(records)))
    np.testing.assert_allclose(logits["logits"], scored.logits, atol=1e-4)


def test_train_head_keras_file_is_the_whole_network(fold0):
    from trainer.keras_module import keras

    network = keras.models.load_model(fold0[0].keras_file)
    assert network.input_shape == (None, 16, 16, 3) and network.output_shape == (None, 3)


def test_train_head_record_says_how_the_head_was_chosen(fold0):
    _, record = fold0
    head = record.head
    assert (head.kind, head.num_features, head.feature_views) == ("linear", 16, 1)
    losses = {one.weight_decay: one.log_loss for one in head.tried}
    assert losses[head.weight_decay] == min(losses.values())
    assert head.inner_folds == 2  # The folds that are trained on.
    assert record.best_metric == "last"  # No score on fold 0 has picked anything.
    assert record.cost.train_images == 36 and record.cost.flops_per_image > 0
    assert record.cost.time.cpu_seconds > 0
    assert record.scores["accuracy"] > 0.8


def test_train_head_tells_tensorboard_its_scores(fold0):
    import tensorflow as tf

    folder, record = fold0
    told = {
        value.tag: float(tf.make_ndarray(value.tensor))
        for name in os.listdir(folder.tensorboard_dir)
        for event in tf.compat.v1.train.summary_iterator(f"{folder.tensorboard_dir}/{name}")
        for value in event.summary.value
        if value.tag.startswith("eval/")
    }
    assert told["eval/accuracy"] == pytest.approx(record.scores["accuracy"])


def test_train_head_record_names_the_start_that_a_fine_tuning_has(fold0):
    from trainer.keras_module import keras
    from trainer.models import backbone_fingerprint

    folder, record = fold0
    network = keras.models.load_model(folder.keras_file)
    assert record.start_fingerprint == backbone_fingerprint(network)


def test_fine_tuning_starts_from_a_run_with_its_head_where_the_classes_are_equal(
    fold0, tiny_dataset, tiny_backbone, tmp_path
):
    from trainer.keras_module import keras

    folder, _ = fold0
    config = tiny.config(tiny_dataset, tiny_backbone, tmp_path, weights=folder.path)
    run = prepare(config, connect_to_train(config))
    images = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype(np.float32)
    expected = keras.models.load_model(folder.keras_file)(images)
    np.testing.assert_allclose(run.network(images), expected, rtol=1e-5)
    assert f"starting from the network of {folder.path}" in opening_lines(run)

    other = build_network(
        NetworkOptions(tiny_backbone, 3, 16, 16, folder.path, class_names=("a", "b", "c"))
    )
    backbones = [one.get_layer(BACKBONE_LAYER)(images) for one in (other, run.network)]
    np.testing.assert_array_equal(*backbones)
    assert not np.allclose(other(images), expected)


def test_fine_tuning_from_a_folder_without_a_run_is_refused(frozen_folds, tiny_backbone):
    folder = frozen_folds.run_dir  # Of the folds' runs.
    with pytest.raises(OrchardError, match="holds no finished run"):
        build_network(NetworkOptions(tiny_backbone, 3, 16, 16, folder))


def test_train_head_under_pjrt_on_two_devices_has_tensorflows_logits(
    fold0, tiny_dataset, tiny_backbone, tmp_path, devices
):
    changes = {"runtime": "pjrt", "replicas": 2}
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "run", **changes)
    assert train_and_evaluate(config) == 0
    got, expected = (
        load_logits(folder.eval_logits_file("fold0")).logits
        for folder in (RunDir(config.run_dir), fold0[0])
    )
    # So weak a weight decay makes much of the features' last bits.
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=0.01)


def test_train_head_is_the_solution_for_the_training_records(fold0, tiny_dataset, frozen_folds):
    from trainer.keras_module import keras

    folder, record = fold0
    network = keras.models.load_model(folder.keras_file)
    kernel, bias = network.get_layer("logits").get_weights()
    whole = keras.Model(network.inputs, network.get_layer("logits").input)
    records = load_records(tiny_dataset, "fold1+fold2")
    images = np.stack([_decoded(one) for one in encoded(records)])
    features = whole.predict(images, verbose=0).astype(np.float64)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale < 1e-6] = 1.0
    head = HEADS["linear"](16, 3, seed=0)
    problem = solver.HeadProblem(
        head,
        HeadLoss(record.task),
        (features - mean) / scale,
        records.targets,
        record.head.weight_decay,
    )
    parameters = np.concatenate([(kernel * scale[:, None]).ravel(), bias + mean @ kernel])
    _, gradient = problem.value_and_gradient(parameters)
    assert np.abs(gradient).max() < 1e-5


def _decoded(data: bytes) -> np.ndarray:
    from trainer.data import decode_image

    return decode_image(data, 16, 16).numpy().astype(np.float32)


def test_train_head_report_says_that_the_score_picked_nothing(fold0):
    page = open(fold0[0].report_file).read()
    assert "weight decay" in page and "decided nothing" in " ".join(page.split())
    assert "linear, on 16 frozen features" in page and "best step" not in page


def test_train_head_of_all_folds_shares_one_extraction(frozen_folds):
    folder = os.path.join(os.path.dirname(frozen_folds.run_dir), "feature_cache")
    (view,) = os.listdir(folder)
    files = [name for name in os.listdir(os.path.join(folder, view)) if name.endswith(".npz")]
    assert len(files) == len(load_records(frozen_folds.dataset, "fold0+fold1+fold2").files)
    summary = FoldsRecord.load(RunDir(frozen_folds.run_dir).folds_file)
    assert summary.found_epochs is None and summary.pooled["accuracy"] > 0.8
    assert "heads on frozen features" in open(RunDir(frozen_folds.run_dir).report_file).read()


def test_train_head_refit_is_solved_on_all_rows_and_chooses_its_own_decay(frozen_folds):
    record = RunRecord.load(part(frozen_folds, "refit0").record_file)
    assert record.fold == NO_SPLIT and record.eval_split is None and record.scores == {}
    assert record.train_split == "fold0+fold1+fold2" and record.head.inner_folds == 3


def test_train_head_finished_run_is_left_alone_and_other_flags_are_refused(frozen_folds, capsys):
    config = folds.fold_config(frozen_folds, "0")
    before = os.stat(RunDir(config.run_dir).record_file).st_mtime_ns
    assert train_and_evaluate(config) == 0
    assert "finished already" in capsys.readouterr().out
    assert os.stat(RunDir(config.run_dir).record_file).st_mtime_ns == before
    with pytest.raises(OrchardError, match="--head was 'linear', now 'mlp'"):
        train_and_evaluate(dataclasses.replace(config, head="mlp"))


def test_train_head_begun_with_other_flags_is_refused(frozen_folds):
    config = folds.fold_config(frozen_folds, "1")
    record = RunDir(config.run_dir).record_file
    kept = storage.read_bytes(record)
    os.remove(record)
    try:
        with pytest.raises(OrchardError, match="holds a training with other flags: --label_smooth"):
            train_and_evaluate(dataclasses.replace(config, label_smoothing=0.1))
    finally:
        storage.write_bytes(record, kept)


def test_export_only_of_a_frozen_run_has_one_checkpoint(frozen_folds):
    config = folds.fold_config(frozen_folds, "2")
    before = RunRecord.load(RunDir(config.run_dir).record_file)
    with pytest.raises(OrchardError, match="one head, on frozen features; give --checkpoint=best"):
        export_only(config.run_dir, "last")
    assert export_only(config.run_dir, "best") == 0
    assert RunRecord.load(RunDir(config.run_dir).record_file).scores == before.scores


def test_train_head_asked_to_stop_says_so_and_leaves_no_run(
    tiny_dataset, tiny_backbone, tmp_path, capsys
):
    config = runs.config(tiny_dataset, tiny_backbone, tmp_path / "run", max_minutes=1e-6)
    assert train_and_evaluate(config) == 75
    assert "run the same command again" in capsys.readouterr().out
    assert set(os.listdir(config.run_dir)) <= {".lock"}
    other_worker = dataclasses.replace(connect_to_train(config), host=1)
    stop = StopRequests(0.0, other_worker)
    assert not train_head(config, other_worker, stop, lambda: None, Loggers([]))
    assert capsys.readouterr().out == ""  # The first one has said it for all.


def test_train_head_mlp_on_views_with_weights_is_a_run_like_any_other(
    tiny_dataset, tiny_backbone, tmp_path
):
    import tensorflow as tf

    from trainer.augment import AugmentOptions

    config = runs.config(
        tiny_dataset,
        tiny_backbone,
        tmp_path / "run",
        head="mlp",
        feature_views=2,
        augment=AugmentOptions(flips="both"),
        class_weights="balanced",
        label_smoothing=0.1,
    )
    assert train_and_evaluate(config) == 0
    folder = RunDir(config.run_dir)
    record, scored = (
        RunRecord.load(folder.record_file),
        load_logits(folder.eval_logits_file("fold0")),
    )
    assert record.head.kind == "mlp" and record.cost.train_images == 72
    model = tf.saved_model.load(folder.saved_model_dir)
    records = load_records(tiny_dataset, "fold0")
    logits = model.signatures["serving_default"](image_bytes=tf.constant(encoded(records)))
    np.testing.assert_allclose(logits["logits"], scored.logits, atol=1e-4)
    assert len(os.listdir(tmp_path / "feature_cache")) == 2
