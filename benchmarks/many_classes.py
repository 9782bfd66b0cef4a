"""Size and memory of a dataset of thousands of classes.

    python benchmarks/many_classes.py [--classes=5000] [--images=10000] [--checkout=DIR]

Prepares as many tiny JPEGs of as many classes, with one hard label each, and prints one line of
JSON: bytes of the images, bytes of the dataset, and the largest resident set of a process.
--checkout measures another checkout of Orchard, such as an older one, on the same images.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import simplejpeg


def write_inputs(folder: Path, images: int, classes: int) -> int:
    """A CSV and as many different images; returns the images' bytes."""
    (folder / "images").mkdir()
    rows, num_bytes = ["image_id,label"], 0
    random = np.random.default_rng(0)
    for number in range(images):
        small = random.integers(0, 256, (6, 6, 3), np.uint8)
        pixels = np.ascontiguousarray(small.repeat(8, 0).repeat(8, 1))
        data = simplejpeg.encode_jpeg(pixels, quality=80)
        (folder / "images" / f"{number:06d}.jpg").write_bytes(data)
        num_bytes += len(data)
        rows.append(f"{number:06d},class{number % classes:05d}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    return num_bytes


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, default=5000)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--checkout", default=str(Path(__file__).parent.parent))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        image_bytes = write_inputs(folder, options.images, options.classes)
        subprocess.run(
            [
                *(sys.executable, "-m", "data_prep.main", "--name=many", "--version=1.0.0"),
                *(f"--csv={folder}/train.csv", f"--images_dir={folder}/images", "--workers=2"),
                f"--data_dir={folder}/out",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": options.checkout},
            cwd=options.checkout,
        )
        made = folder / "out" / "many" / "1.0.0"
        peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        sizes = {path.name: path.stat().st_size for path in made.iterdir()}
        result = {
            "classes": options.classes,
            "images": options.images,
            "image_mb": round(image_bytes / 1e6, 1),
            "dataset_mb": round(sum(sizes.values()) / 1e6, 1),
            "shards_mb": round(sum(n for s, n in sizes.items() if ".tfrecord" in s) / 1e6, 1),
            "peak_resident_mb": round(peak_kib * 1024 / 1e6),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
