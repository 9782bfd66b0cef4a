"""A PyTorch DataLoader over a dataset made here: random access, and no TensorFlow.

    pip install torch tensorflow-datasets array_record pillow
    python examples/pytorch_loader.py data/fashion_mnist/1.0.0

The dataset was made with --file_format=array_record. A small network is trained for one epoch on
its split `train`, and scored on `eval`.
"""

import sys

import numpy as np
import tensorflow_datasets as tfds
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIZE_PX = 32


class Photos(Dataset):
    """The records of one split as (float32 [3, SIZE_PX, SIZE_PX] from 0 to 1, class)."""

    def __init__(self, directory: str, split: str) -> None:
        self.directory, self.split = directory, split
        self._source = None

    @property
    def source(self):
        """TFDS's data source, opened in each worker process."""
        if self._source is None:
            builder = tfds.builder_from_directory(self.directory)
            self._source = builder.as_data_source(split=self.split)
        return self._source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        record = self.source[index]
        image = torch.from_numpy(np.array(record["image"])).permute(2, 0, 1)[None] / 255
        image = nn.functional.interpolate(image, (SIZE_PX, SIZE_PX), mode="bilinear")
        return image[0], int(record["label"])


def main(directory: str) -> float:
    """Train and score; the share of `eval` that is right."""
    torch.manual_seed(0)
    num_classes = tfds.builder_from_directory(directory).info.features["label"].num_classes
    train = DataLoader(Photos(directory, "train"), batch_size=32, shuffle=True, num_workers=2)
    network = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()),
        nn.Linear(32 * 4 * 4, num_classes),
    )
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for step, (images, labels) in enumerate(train):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step}: loss {loss.item():.3f}")
    right = count = 0
    with torch.no_grad():
        for images, labels in DataLoader(Photos(directory, "eval"), batch_size=64, num_workers=2):
            right += int((network(images).argmax(dim=1) == labels).sum())
            count += len(labels)
    print(f"{right} of {count} right; TensorFlow imported: {'tensorflow' in sys.modules}")
    return right / count


if __name__ == "__main__":
    main(sys.argv[1])
