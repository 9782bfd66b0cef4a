r"""What serving costs: the first request, a batch beside its parts, eight clients, and memory.

    python -m benchmarks.serving [--parts=first,batch,clients,memory]

An ensemble of two networks of keras.applications with random weights, and synthetic photos of
1024 x 768 pixels.

    first     in fresh processes, through a session as model servers have one: the first request
              beside the median of those after it, with the warm-up requests answered before or not
    batch     32 photos through `serving_default`, beside the members' `images` signatures on pixels
              that lie in memory plus the decode alone (`decode_image`, once a size)
    clients   `ensemble.serve` asked by 8 clients, with batches of up to 32 and of 1
    memory    resident memory of `ensemble.serve` over that many requests by 8 clients, good and bad
              ones, of a small network

Wall and CPU seconds (all threads) are shown; the second bears with other load on the machine.
"""

import base64
import contextlib
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from absl import app, flags, logging
from PIL import Image

from benchmarks.random_member import save_random_member
from benchmarks.ratios import Better, report
from ensemble.combine import COMBINERS, Combination
from ensemble.inference import LoadedMember
from ensemble.members import load_members
from ensemble.output import EnsembleModel, save_ensemble, save_ensemble_for_serving
from orchard.formats import WARMUP_FILE, Task, tfrecord
from trainer.data import decode_image
from trainer.keras_module import keras
from trainer.models import NetworkOptions, build_network

FLAGS = flags.FLAGS
flags.DEFINE_integer("repeats", 3, "Fresh processes of each kind, and rounds of batches times 4.")
flags.DEFINE_integer("requests", 160, "Requests by 8 clients, of each kind.")
flags.DEFINE_integer("memory_requests", 10_000, "Requests of the look at memory.")
flags.DEFINE_list("parts", ["first", "batch", "clients", "memory"], "What to measure.")
flags.DEFINE_string("first_of", "", "Internal: the version folder to time the first request of.")
flags.DEFINE_bool("warm", True, "Internal: whether to answer the warm-up requests before.")

_NETWORKS = (("mobilenet_v2", 160), ("efficientnet_b0", 128))
_CLASSES = 12
_CLIENTS = 8
_BATCH = 32
_AFTERWARDS = 12
_SMALL_PX = 32


def main(argv: list[str]) -> None:
    """Print what each of them takes."""
    del argv
    logging.set_verbosity(logging.WARNING)
    if FLAGS.first_of:
        print(json.dumps(_first_request(FLAGS.first_of, FLAGS.warm)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if set(FLAGS.parts) & {"first", "batch", "clients"}:
            _two_networks(folder)
        if "memory" in FLAGS.parts:
            _memory(folder)


def _two_networks(folder: str) -> None:
    members = [
        _make_member(folder, name, build_network(NetworkOptions(name, _CLASSES, side_px, side_px)))
        for name, side_px in _NETWORKS
    ]
    saved, served = _make_ensemble(folder, "two", members)
    photos = [_photo(seed) for seed in range(_BATCH)]
    print(f"{os.cpu_count()} cores, photos of {len(photos[0]) // 1000} kB, {_NETWORKS}", flush=True)
    if "batch" in FLAGS.parts:
        _batch(saved, members, photos)
    for warm in (True, False) if "first" in FLAGS.parts else ():
        found = [_in_fresh_process(served, warm) for _ in range(FLAGS.repeats)]
        ratios = [first / steady for first, steady in found]
        first, steady = 1e3 * np.median(found, axis=0)
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"first, {warm=}: {first:.0f} ms, then {steady:.0f} ms: {shown}", flush=True)
    for max_batch in (_BATCH, 1) if "clients" in FLAGS.parts else ():
        with _server(saved, f"--max_batch={max_batch}") as (port, _):
            _ask_all(port, photos, 2 * _CLIENTS)
            seconds, milliseconds, statuses = _ask_all(port, photos, FLAGS.requests)
            print(
                f"clients, batches of up to {max_batch}: {FLAGS.requests / seconds:.1f} "
                f"requests/s, median {np.median(milliseconds):.0f} ms, 95% below "
                f"{np.percentile(milliseconds, 95):.0f} ms, {statuses}",
                flush=True,
            )


def _first_request(folder: str, warm: bool) -> tuple[float, float]:
    """Seconds of the first request and of those after it, in a session, as model servers have."""
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        signature = loaded.signature_def["serving_default"]
        (image,) = signature.inputs.values()
        fetches = [output.name for output in signature.outputs.values()]

        def ask(files: list[bytes]) -> float:
            start = time.perf_counter()
            session.run(fetches, {image.name: files})
            return time.perf_counter() - start

        if warm:
            for key, files in _warmup(folder):
                if key == "serving_default":
                    ask(files)
        first = ask([_photo(1)])
        return first, float(np.median([ask([_photo(seed)]) for seed in range(2, _AFTERWARDS)]))


def _warmup(folder: str) -> Iterator[tuple[str, list[bytes]]]:
    from tensorflow_serving.apis import prediction_log_pb2

    with open(os.path.join(folder, WARMUP_FILE), "rb") as file:
        for frame in tfrecord.read_frames(file, "warm-up"):
            log = prediction_log_pb2.PredictionLog.FromString(frame.payload)
            request = log.predict_log.request
            files = tf.make_ndarray(request.inputs["image_bytes"]).tolist()
            yield request.model_spec.signature_name, files


def _in_fresh_process(folder: str, warm: bool) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.serving", f"--first_of={folder}", f"--warm={warm}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    first, steady = json.loads(done.stdout.splitlines()[-1])
    return first, steady


def _batch(saved: str, paths: list[str], photos: list[bytes]) -> None:
    loaded = tf.saved_model.load(saved)
    serve = loaded.signatures["serving_default"]
    members, _ = load_members(paths)
    networks = [tf.function(LoadedMember(member)) for member in members]
    files = tf.constant(photos)
    sizes = [(one.input.height_px, one.input.width_px) for one in members]

    def decoded(files: tf.Tensor) -> list[tf.Tensor]:
        return [
            tf.map_fn(
                lambda one, size=size: decode_image(one, *size),
                files,
                fn_output_signature=tf.TensorSpec([*size, 3], tf.uint8),
            )
            for size in sizes
        ]

    decode = tf.function(decoded)
    pixels = decode(files)

    def forward() -> None:
        for network, images in zip(networks, pixels, strict=True):
            network(images).numpy()

    kinds: dict[str, Callable[[], object]] = {
        "served": lambda: serve(image_bytes=files)["probabilities"].numpy(),
        "forward": forward,
        "decode": lambda: [one.numpy() for one in decode(files)],
    }
    for kind in kinds.values():
        kind()
    taken: dict[str, list[np.ndarray]] = {name: [] for name in kinds}
    for _ in range(4 * FLAGS.repeats):
        for name, kind in kinds.items():
            taken[name].append(_timed(kind))
    median = {name: np.median(values, axis=0) for name, values in taken.items()}
    pure = np.array(taken["forward"]) + np.array(taken["decode"])
    ratios = np.median(np.array(taken["served"]) / pure, axis=0)
    report(
        f"an ensemble of two, a batch of {_BATCH} photos of 1024x768 served, CPU-seconds",
        "forward passes and decode alone",
        ("tensorflow",),
        Better.LESS,
        ours=np.array(taken["served"])[:, 1].tolist(),
        theirs=pure[:, 1].tolist(),
    )
    low, high = np.percentile(np.array(taken["served"])[:, 1] / pure[:, 1], [25, 75])
    for name, (wall, cpu) in median.items():
        print(f"batch of {_BATCH}, {name:<7} wall {wall:.3f} s, CPU {cpu:.3f} s")
    print(
        f"batch of {_BATCH}, served over forward and decode: wall {ratios[0]:.3f}, CPU "
        f"{ratios[1]:.3f} (quartiles {low:.3f} to {high:.3f})",
        flush=True,
    )


def _timed(kind: Callable[[], object]) -> np.ndarray:
    start = np.array([time.perf_counter(), time.process_time()])
    kind()
    return np.array([time.perf_counter(), time.process_time()]) - start


def _memory(folder: str) -> None:
    layers = [keras.Input((_SMALL_PX, _SMALL_PX, 3)), keras.layers.Conv2D(8, 3, 2)]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(_CLASSES)]
    member = _make_member(folder, "small", keras.Sequential(layers))
    saved, _ = _make_ensemble(folder, "small_ensemble", [member])
    photos = [_photo(seed, (480 + 8 * seed, 360)) for seed in range(20)]
    photos += [b"<html>", photos[0][:1000]]
    parts = 10
    with _server(saved) as (port, process):
        sizes = []
        for _ in range(parts):
            *_, statuses = _ask_all(port, photos, FLAGS.memory_requests // parts)
            sizes.append(_resident_mb(process.pid))
            print(f"memory: {sizes[-1]:.0f} MB, {statuses}", flush=True)
    print(f"memory after each tenth of {FLAGS.memory_requests}: {[round(one) for one in sizes]} MB")


def _resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) / 1000


@contextlib.contextmanager
def _server(saved: str, *more: str) -> Iterator[tuple[int, subprocess.Popen]]:
    """`ensemble.serve` in a process of its own: its port, and the process."""
    command = [sys.executable, "-m", "ensemble.serve", f"--model={saved}", "--port=0", *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline().rsplit(":", 1)[1]), process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    if process.returncode != 0:
        raise SystemExit(f"the server ended with status {process.returncode}")


def _ask_all(port: int, photos: list[bytes], requests: int) -> tuple[float, list[float], dict]:
    """Seconds for all requests, milliseconds of each, and how often which status was given."""
    bodies = [
        json.dumps({"instances": [{"b64": base64.b64encode(photo).decode()}]}) for photo in photos
    ]
    taken: list[float] = []
    statuses: dict[int, int] = {}
    todo = iter(range(requests))
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            with lock:
                at = next(todo, None)
            if at is None:
                connection.close()
                return
            start = time.perf_counter()
            connection.request("POST", "/v1/models/default:predict", bodies[at % len(bodies)])
            response = connection.getresponse()
            response.read()
            with lock:
                taken.append((time.perf_counter() - start) * 1e3)
                statuses[response.status] = statuses.get(response.status, 0) + 1

    threads = [threading.Thread(target=client) for _ in range(_CLIENTS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if sum(statuses.values()) != requests:
        raise SystemExit(f"{requests} requests, but {statuses} answers")
    return time.perf_counter() - start, taken, statuses


def _photo(seed: int, size: tuple[int, int] = (1024, 768)) -> bytes:
    """A JPEG with as much detail as photos have."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (24, 32, 3), np.uint8))
    pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.float32)
    pixels = pixels + generator.normal(scale=6, size=pixels.shape)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _make_member(folder: str, name: str, network: keras.Model) -> str:
    names = tuple(f"class_{number}" for number in range(_CLASSES))
    return save_random_member(folder, name, network, names, Task.SINGLE_LABEL)


def _make_ensemble(folder: str, name: str, paths: list[str]) -> tuple[str, str]:
    """The SavedModel of an ensemble, and its version folder."""
    members, _ = load_members(paths)
    combiner = COMBINERS["logits"](Task.SINGLE_LABEL)
    count = len(members)
    combination = Combination(
        (combiner,) * count, np.full(count, 1 / count), np.ones((count, 1)), np.ones(1)
    )
    thresholds = np.full(_CLASSES, 0.5)
    model = EnsembleModel(members, combination, members[0].class_names, thresholds, "none")
    saved, served = (os.path.join(folder, name, kind) for kind in ("saved_model", "serving/1"))
    save_ensemble(model, saved)
    save_ensemble_for_serving(model, served, name)
    return saved, served


if __name__ == "__main__":
    app.run(main)
