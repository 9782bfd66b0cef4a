"""A grain pipeline for JAX over a dataset made here: random access, and no TensorFlow.

    pip install grain jax tensorflow-datasets array_record pillow
    python examples/grain_loader.py data/fashion_mnist/1.0.0

The dataset was made with --file_format=array_record. A linear classifier is trained for two epochs
on its split `train`, and scored on `eval`.
"""

import sys

import grain
import jax
import jax.numpy as jnp
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

SIZE_PX = 28


def to_example(record: dict) -> dict[str, np.ndarray]:
    """A record as {"image": float32 [SIZE_PX, SIZE_PX, 3] from 0 to 1, "label": int32}."""
    image = Image.fromarray(record["image"]).resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR)
    return {"image": np.asarray(image, np.float32) / 255, "label": np.int32(record["label"])}


def batches(builder, split: str, epochs: int = 1, shuffle: bool = False):
    """The batches of a split, as dictionaries of arrays."""
    dataset = grain.MapDataset.source(builder.as_data_source(split=split))
    if shuffle:
        dataset = dataset.shuffle(seed=0)
    dataset = dataset.repeat(epochs).map(to_example)
    return dataset.to_iter_dataset(grain.ReadOptions(num_threads=4)).batch(32)


@jax.jit
def train_step(weights, images, labels):
    """One step of gradient descent; the new weights and the loss before it."""

    def loss(weights):
        logs = jax.nn.log_softmax(images.reshape(len(images), -1) @ weights)
        return -jnp.take_along_axis(logs, labels[:, None], axis=1).mean()

    value, gradient = jax.value_and_grad(loss)(weights)
    return weights - 0.02 * gradient, value


def main(directory: str) -> float:
    """Train and score; the share of `eval` that is right."""
    builder = tfds.builder_from_directory(directory)
    classes = builder.info.features["label"].num_classes
    weights = jnp.zeros((SIZE_PX * SIZE_PX * 3, classes))
    for step, batch in enumerate(batches(builder, "train", epochs=2, shuffle=True)):
        weights, loss = train_step(weights, batch["image"], batch["label"])
        if step % 20 == 0:
            print(f"step {step}: loss {loss:.3f}")
    right = count = 0
    for batch in batches(builder, "eval"):
        images = batch["image"].reshape(len(batch["image"]), -1)
        right += int((np.asarray(images @ weights).argmax(axis=1) == batch["label"]).sum())
        count += len(images)
    print(f"{right} of {count} right; TensorFlow imported: {'tensorflow' in sys.modules}")
    return right / count


if __name__ == "__main__":
    main(sys.argv[1])
