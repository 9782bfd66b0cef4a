"""What a served model gives where there is no Orchard: run by other Pythons, with TensorFlow alone.

python elsewhere.py VERSION_FOLDER IMAGES_DIR OUTPUT.npz

Once as Python programs load a SavedModel, and once in a session, as model servers do. Answers the
warm-up requests, too, where tensorflow-serving-api is installed.
"""

import glob
import os
import sys

import numpy as np
import tensorflow as tf

SIGNATURES = ("serving_default", "members", "top_k")


def inputs_of(signature: str, files: list) -> dict:
    """What a signature takes."""
    given = {"image_bytes": np.array(files, object)}
    return {**given, "k": np.full(len(files), 2, np.int32)} if signature == "top_k" else given


def in_session(folder: str, files: list) -> dict:
    """Outputs by "signature/name", through feeds and fetches."""
    found = {}
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        for name in SIGNATURES:
            signature = loaded.signature_def[name]
            assert signature.method_name == "tensorflow/serving/predict"
            fetches = {key: one.name for key, one in signature.outputs.items()}
            feeds = {signature.inputs[k].name: v for k, v in inputs_of(name, files).items()}
            outputs = session.run(fetches, feeds)
            found.update({f"{name}/{key}": value for key, value in outputs.items()})
    return found


def as_object(folder: str, files: list) -> dict:
    """The same through `tf.saved_model.load`."""
    found, model = {}, tf.saved_model.load(folder)
    for name in SIGNATURES:
        inputs = {key: tf.constant(value) for key, value in inputs_of(name, files).items()}
        outputs = model.signatures[name](**inputs)
        found.update({f"{name}/{key}": value.numpy() for key, value in outputs.items()})
    return found


def warmed_up(folder: str) -> int:
    """How many warm-up requests were answered."""
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        return 0
    model, count = tf.saved_model.load(folder), 0
    path = os.path.join(folder, "assets.extra", "tf_serving_warmup_requests")
    for record in tf.data.TFRecordDataset(path):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {key: tf.constant(tf.make_ndarray(one)) for key, one in request.inputs.items()}
        model.signatures[request.model_spec.signature_name](**inputs)
        count += 1
    return count


def main() -> None:
    """Write the outputs, and print what ran."""
    folder, images_dir, output = sys.argv[1:]
    files = [open(name, "rb").read() for name in sorted(glob.glob(os.path.join(images_dir, "*")))]
    first, second = in_session(folder, files), as_object(folder, files)
    assert set(first) == set(second)
    for name, value in first.items():
        if value.dtype == np.float32:
            np.testing.assert_allclose(value, second[name], atol=1e-5, err_msg=name)
        else:
            assert (value == second[name]).all(), name
    np.savez(output, **{k: v.astype(str) if v.dtype == object else v for k, v in second.items()})
    assert not {"ensemble", "trainer", "orchard"} & set(sys.modules)
    print(f"TensorFlow {tf.__version__}: {len(files)} images, {warmed_up(folder)} warm-up requests")


if __name__ == "__main__":
    main()
