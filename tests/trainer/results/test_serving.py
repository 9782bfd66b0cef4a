"""What model servers are given: a version folder, warm-up requests and the signature `top_k`."""

import os

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from ensemble import SavedPredictor
from orchard.errors import OrchardError
from orchard.formats import WARMUP_FILE, RunDir, Task, tfrecord
from tests.data_prep.builders import jpeg
from trainer.keras_module import keras
from trainer.results import export, export_for_serving, save_serving
from trainer.results.serving import top_classes_in_graph

_NAMES = ("rust", "scab", "healthy")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The version folder of a small network."""
    path = str(tmp_path_factory.mktemp("serving") / "leaves" / "1")
    layers = [keras.Input((12, 16, 3)), keras.layers.Rescaling(1 / 99), keras.layers.Flatten()]
    network = keras.Sequential([*layers, keras.layers.Dense(3)])
    module = export.ServingModule(network, _NAMES, Task.MULTI_LABEL, 12, 16, "squash", False)
    save_serving(module, module.serving_signatures(), path, "leaves")
    return path


def _payloads(folder):
    with open(os.path.join(folder, WARMUP_FILE), "rb") as file:
        return [frame.payload for frame in tfrecord.read_frames(file, "warm-up")]


def _prediction_log():
    """PredictionLog as tensorflow_serving/apis/*.proto describe it, as far as it is used here."""
    text, blob, message = 9, 12, 11
    fields = {
        "ModelSpec": [("name", 1, text, ""), ("signature_name", 3, text, "")],
        "Input": [("key", 1, text, ""), ("value", 2, blob, "")],
        "PredictRequest": [
            ("model_spec", 1, message, "ModelSpec"),
            ("inputs", 2, message, "*Input"),
        ],
        "PredictLog": [("request", 1, message, "PredictRequest")],
        "PredictionLog": [("predict_log", 6, message, "PredictLog")],
    }
    file = descriptor_pb2.FileDescriptorProto(name="warm_up.proto", package="warm", syntax="proto3")
    for name, members in fields.items():
        described = file.message_type.add(name=name)
        for field, number, kind, of in members:
            label = 3 if of.startswith("*") else 1
            one = described.field.add(name=field, number=number, type=kind, label=label)
            if of:
                one.type_name = f".warm.{of.lstrip('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("warm.PredictionLog"))


def test_warmup_requests_are_prediction_logs_that_the_signatures_answer(served):
    signatures = tf.saved_model.load(served).signatures
    kind, seen = _prediction_log(), []
    for payload in _payloads(served):
        log = kind.FromString(payload)
        # Nothing that the description does not know, and nothing written in another way.
        assert log.SerializeToString(deterministic=True) == payload
        request = log.predict_log.request
        assert request.model_spec.name == "leaves"
        inputs = {
            one.key: tf.make_ndarray(tensor_pb2.TensorProto.FromString(one.value))
            for one in request.inputs
        }
        key = request.model_spec.signature_name
        outputs = signatures[key](**{name: tf.constant(value) for name, value in inputs.items()})
        rows = {len(value) for value in (*inputs.values(), *outputs.values())}
        assert len(rows) == 1
        seen.append((key, *rows))
    expected = {"serving_default", "probabilities", "top_k"}
    assert sorted(seen) == sorted((key, rows) for key in expected for rows in (1, 8))


def test_warmup_requests_are_what_tensorflow_serving_reads(served):
    messages = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    for payload in _payloads(served):
        log = messages.PredictionLog.FromString(payload)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        picture = tf.make_ndarray(request.inputs["image_bytes"])[0]
        assert tf.io.decode_jpeg(picture).shape == (384, 512, 3)
        assert log.SerializeToString(deterministic=True) == payload
    path = os.path.join(served, WARMUP_FILE)
    assert len(list(tf.data.TFRecordDataset(path))) == len(_payloads(served))


def test_served_model_gives_probabilities_and_names_by_default(served):
    signatures = tf.saved_model.load(served).signatures
    files = tf.constant([jpeg(seed) for seed in range(3)])
    found = signatures["serving_default"](image_bytes=files)
    assert found["class_names"].numpy().tolist() == [[name.encode() for name in _NAMES]] * 3
    top = signatures["top_k"](image_bytes=files, k=tf.constant([1, 3, 2]))
    values = found["probabilities"].numpy()
    order = np.argsort(-values, axis=1)
    for row, wanted in enumerate((1, 3, 2)):
        names = [_NAMES[at].encode() for at in order[row, :wanted]] + [b""] * (3 - wanted)
        assert top["classes"][row].numpy().tolist() == names
        expected = np.pad(values[row, order[row, :wanted]], (0, 3 - wanted))
        np.testing.assert_allclose(top["probabilities"][row], expected, atol=1e-6)


def test_top_classes_of_odd_numbers_are_within_the_classes():
    values = tf.constant([[0.1, 0.7, 0.2]])
    for k, expected in ((0, [b""]), (-3, [b""]), (9, [b"scab", b"healthy", b"rust"])):
        found = top_classes_in_graph(values, tf.constant(_NAMES), tf.constant([k]))
        assert found["classes"].numpy().tolist() == [expected]
    none = top_classes_in_graph(values[:0], tf.constant(_NAMES), tf.zeros([0], tf.int32))
    assert none["classes"].shape == (0, 1)


def test_export_for_serving_is_the_run_under_a_version(config):
    path = export_for_serving(config.run_dir, "leaves/3")
    assert path == os.path.join(config.run_dir, "serving", "leaves", "3")
    found, expected = SavedPredictor(path), SavedPredictor(RunDir(config.run_dir).saved_model_dir)
    assert (found.class_names, found.task) == (expected.class_names, expected.task)
    np.testing.assert_array_equal(found.thresholds, expected.thresholds)
    picture = [jpeg(1)]
    np.testing.assert_allclose(found.predict(picture), expected.predict(picture), atol=1e-6)
    with pytest.raises(OrchardError, match="--serving=../x: give NAME or NAME/VERSION"):
        export_for_serving(config.run_dir, "../x")
