"""The images of `prep.py` and `growth.py`: small ones and photos, made from what there is."""

import csv
from pathlib import Path

import numpy as np
import simplejpeg

_EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "fashion_mnist" / "images"
_SHIFTS = 24
_PHOTO_SIZE_PX = (1365, 2048)


def make_small(folder: Path) -> None:
    """Write 60,000 small images and their CSV."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for path in sorted(_EXAMPLES.iterdir()):
        pixels = simplejpeg.decode_jpeg(path.read_bytes(), colorspace="GRAY")
        for shift in range(_SHIFTS):
            moved = np.roll(pixels, (shift % 5 - 2, shift // 5 - 2), (0, 1))
            data = simplejpeg.encode_jpeg(
                np.ascontiguousarray(moved), 95, colorspace="GRAY", colorsubsampling="Gray"
            )
            rows.append((f"{path.stem}_{shift:02d}", f"class_{len(rows) % 10}"))
            (folder / "images" / f"{rows[-1][0]}.jpg").write_bytes(data)
    _write_csv(folder, rows)


def make_photos(
    folder: Path,
    photos_dir: str,
    count: int,
    size_px: tuple[int, int] = _PHOTO_SIZE_PX,
    distinct: int = 20,
) -> None:
    """Write `count` photos and their CSV; without `photos_dir`, of so many distinct ones."""
    (folder / "images").mkdir(parents=True)
    if photos_dir:
        photos = [path.read_bytes() for path in sorted(Path(photos_dir).glob("*.jp*g"))]
    else:
        photos = [_noise_photo(seed, size_px) for seed in range(distinct)]
    rows = []
    for number in range(count):
        data = photos[number % len(photos)]
        comment = b"\xff\xfe\x00\x07" + f"{number:05d}".encode()
        rows.append((f"photo_{number:05d}", f"class_{number % 4}"))
        (folder / "images" / f"{rows[-1][0]}.jpg").write_bytes(data[:2] + comment + data[2:])
    _write_csv(folder, rows)


def _noise_photo(seed: int, size_px: tuple[int, int]) -> bytes:
    """A JPEG of noise whose amplitudes fall with the frequency, as those of photos do."""
    height, width = size_px
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    channels = []
    for _ in range(3):
        phase = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
        plane = np.fft.irfft2(phase / frequency**1.3, (height, width))
        channels.append(np.clip(128 + 45 * plane / plane.std(), 0, 255))
    return simplejpeg.encode_jpeg(np.stack(channels, 2).astype(np.uint8), 90)


def _write_csv(folder: Path, rows: list[tuple[str, str]]) -> None:
    with open(folder / "train.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image_id", "label"), *rows])
