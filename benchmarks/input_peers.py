"""What `benchmarks/input.py` compares: each yields, for ever, how many images it has given."""

import importlib.util
import io
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from PIL import Image

from trainer.augment import AugmentOptions
from trainer.data import (
    SCALES,
    FileSource,
    InputOptions,
    RecordTable,
    decode_image,
    read_records,
    smallest_scale,
    train_batches,
)

Contender = Callable[[], Iterator[int]]
_ENDLESS_STEPS = 10**9
_AUTOTUNE = tf.data.AUTOTUNE


def ours(
    records: RecordTable, size_px: int, batch_size: int, threads: int, resize: str = "squash"
) -> Contender:
    """The whole pipeline: read in training order, check, decode, resize, batch, draw flips."""

    def run() -> Iterator[int]:
        batches = train_batches(
            records,
            InputOptions(size_px, size_px, resize=resize, threads=threads),
            batch_size=batch_size,
            seed=0,
            start_step=0,
            num_steps=_ENDLESS_STEPS,
            augment=AugmentOptions(),
        )
        return (len(batch["weight"]) for batch in batches)

    return run


def our_reading(records: RecordTable, batch_size: int) -> Contender:
    """Reading alone: checked records of random places."""

    def run() -> Iterator[int]:
        source = FileSource(records.files)
        random = np.random.default_rng(0)
        while True:
            gids = random.integers(0, len(records), batch_size)
            yield len(read_records(source, records, gids))

    return run


def our_decoding(images: list[bytes], size_px: int, batch_size: int, threads: int) -> Contender:
    """Decoding and resizing alone, from memory."""

    def run() -> Iterator[int]:
        batches = (
            tf.data.Dataset.from_tensor_slices(images)
            .repeat()
            .map(lambda e: decode_image(e, size_px, size_px), threads, deterministic=True)
            .batch(batch_size)
            .prefetch(2)
        )
        return (len(batch) for batch in batches)

    return run


def article(files: list[str], size_px: int, batch_size: int) -> Contender:
    """The article's pipeline: files -> decode -> float 0..1 -> resize -> flips, AUTOTUNE."""

    def load(path: tf.Tensor) -> tf.Tensor:
        image = tf.image.decode_jpeg(tf.io.read_file(path), channels=3)
        image = tf.cast(image, tf.float32) / 255.0
        return tf.image.resize(image, [size_px, size_px])

    def flip(image: tf.Tensor) -> tf.Tensor:
        return tf.image.random_flip_up_down(tf.image.random_flip_left_right(image))

    def run() -> Iterator[int]:
        images = tf.data.Dataset.from_tensor_slices(files).map(load, num_parallel_calls=_AUTOTUNE)
        images = images.map(flip, num_parallel_calls=_AUTOTUNE).repeat().shuffle(512)
        return (len(batch) for batch in images.batch(batch_size).prefetch(_AUTOTUNE))

    return run


def tfds_as_dataset(dataset: str, split: str, size_px: int, batch_size: int) -> Contender:
    """TFDS's own reader with a resize: as_dataset, shuffled files and buffer, AUTOTUNE."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(dataset)

    def fit(row: dict) -> tf.Tensor:
        image = tf.image.resize(row["image"], [size_px, size_px])
        return tf.cast(tf.round(image), tf.uint8), row["target"]

    def run() -> Iterator[int]:
        # It would keep what few images there are, decoded, in memory.
        reading = tfds.ReadConfig(try_autocache=False)
        rows = builder.as_dataset(split=split, shuffle_files=True, read_config=reading)
        rows = rows.repeat().shuffle(512)
        batches = rows.map(fit, num_parallel_calls=_AUTOTUNE).batch(batch_size)
        return (len(batch[0]) for batch in batches.prefetch(_AUTOTUNE))

    return run


def tf_decode(images: list[bytes], scale: int, threads: int) -> Contender:
    """TensorFlow's decode op alone at 1/scale, nothing batched."""

    def run() -> Iterator[int]:
        decoded = (
            tf.data.Dataset.from_tensor_slices(images)
            .repeat()
            .map(lambda e: tf.shape(tf.io.decode_jpeg(e, channels=3, ratio=scale)), threads)
        )
        return (1 for _ in decoded)

    return run


def libjpeg_turbo(images: list[bytes], scale: int, threads: int) -> Contender:
    """The limit: libjpeg-turbo's decode alone at 1/scale through simplejpeg, in threads."""
    import simplejpeg

    def decode_one(encoded: bytes) -> int:
        height, width = simplejpeg.decode_jpeg_header(encoded)[:2]
        simplejpeg.decode_jpeg(
            encoded, min_height=height // scale, min_width=width // scale, min_factor=scale
        )
        return 1

    def run() -> Iterator[int]:
        with ThreadPoolExecutor(threads) as pool:
            for start in itertools.count(step=4 * threads):
                chunk = [images[(start + i) % len(images)] for i in range(4 * threads)]
                yield sum(pool.map(decode_one, chunk))

    return run


def torch_loader(files: list[str], size_px: int, batch_size: int, workers: int) -> Contender:
    """A torch DataLoader with Pillow (draft mode off, as in torchvision's examples)."""
    import torch

    class Files(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, index: int) -> torch.Tensor:
            return torch.from_numpy(_with_pillow(files[index], size_px))

    def run() -> Iterator[int]:
        loader = torch.utils.data.DataLoader(
            Files(), batch_size, shuffle=True, num_workers=workers, persistent_workers=True
        )
        while True:
            yield from (len(batch) for batch in loader)

    return run


def webdataset_tar(tar: str, size_px: int, batch_size: int, threads: int) -> Contender:
    """WebDataset's reader and shuffle buffer; Pillow decodes in threads, which it lets run."""
    import webdataset

    def decode_one(sample: dict) -> np.ndarray:
        return _with_pillow(io.BytesIO(sample["jpg"]), size_px)

    def run() -> Iterator[int]:
        samples = iter(webdataset.WebDataset(tar, shardshuffle=False).repeat().shuffle(512))
        with ThreadPoolExecutor(threads) as pool:
            while True:
                several = itertools.islice(samples, batch_size)
                yield len(np.stack(list(pool.map(decode_one, several))))

    return run


def write_tar(path: str, files: list[str]) -> str:
    """Writes image files as a tar that WebDataset reads; returns its path."""
    import webdataset

    with webdataset.TarWriter(path) as tar:
        for number, file in enumerate(files):
            with open(file, "rb") as image:
                tar.write({"__key__": f"{number:06d}", "jpg": image.read()})
    return path


def _with_pillow(file: str | io.BytesIO, size_px: int) -> np.ndarray:
    return np.array(Image.open(file).convert("RGB").resize((size_px, size_px)))


def installed(package: str) -> bool:
    """Whether a peer's package is there."""
    return importlib.util.find_spec(package) is not None


def scale_for(image: bytes, size_px: int) -> int:
    """The DCT scale that `trainer.data.decode` takes for an image."""
    source = tf.io.extract_jpeg_shape(image)[:2]
    return SCALES[int(smallest_scale(source, tf.constant([size_px, size_px])))]


def read_all(files: list[str]) -> list[bytes]:
    """The encoded images."""
    return [open(path, "rb").read() for path in files]  # noqa: SIM115


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
