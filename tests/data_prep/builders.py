"""Small inputs for the tests: images of chosen kinds, and CSVs that name them."""

import csv
import errno
import hashlib
import io
import os
import shutil
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from data_prep.config import PrepConfig
from data_prep.pipeline import prepare
from data_prep.publish.local_staging import LocalStaging
from orchard.errors import OrchardError

CLASSES = ("bag", "coat", "shirt")


def pixels(seed, height=24, width=32, gray=False):
    """A smooth random picture: noise of a few pixels, enlarged."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image.convert("L"))[:, :, None] if gray else np.asarray(image)


def picture(**options):
    return Image.fromarray(pixels(3, **options))


def jpeg(seed=0, height=24, width=32, gray=False, quality=92):
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels(seed, height, width, gray)),
        quality=quality,
        colorspace="GRAY" if gray else "RGB",
        colorsubsampling="Gray" if gray else "420",
    )


def jpeg_of_odd_sampling():
    """A gray picture of 8x32 whose chroma has a quarter of its lines: a single MCU of zeros."""

    def segment(marker, body):
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

    table = b"\1" + bytes(16)
    frame = struct.pack(">BHHB", 8, 32, 8, 3) + b"\1\x14\0\2\x11\0\3\x11\0"
    header = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC0, frame)
    tables = segment(0xC4, b"\0" + table + b"\x10" + table)
    scan = segment(0xDA, b"\3\1\0\2\0\3\0\0\x3f\0") + b"\x00\x0f"
    return b"\xff\xd8" + header + tables + scan + b"\xff\xd9"


def pillow_bytes(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rotated_jpeg(orientation, seed=0, height=24, width=32):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels(seed, height, width))
    return pillow_bytes(image, "JPEG", quality=95, exif=exif)


def with_stray_bytes(data, marker, stray=b"\0\1\xff\0\2"):
    """A JPEG with bytes before its first marker of a kind that decoders skip with a warning."""
    at = data.index(b"\xff" + bytes([marker]))
    return data[:at] + stray + data[at:]


def sampled_jpeg(sampling):
    """A JPEG whose chroma is sampled as simplejpeg calls it: 444, 440, 411, ..."""
    return simplejpeg.encode_jpeg(pixels(3), quality=95, colorsubsampling=sampling)


def odd_images():
    """A file of each kind that preparation takes, by what is odd about it."""
    plain, photo = jpeg(1), picture()
    alpha = photo.convert("RGBA")
    alpha.putalpha(Image.fromarray(np.linspace(0, 255, 24 * 32).reshape(24, 32).astype(np.uint8)))
    palette = photo.convert("P")
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "jpeg": plain,
        "gray": jpeg(1, gray=True),
        "progressive": pillow_bytes(photo, "JPEG", progressive=True, quality=95),
        "comment": pillow_bytes(photo, "JPEG", comment=b"\xff\xd9 not the end"),
        "restarts": pillow_bytes(photo, "JPEG", restart_marker_blocks=1),
        "stray_before_tables": with_stray_bytes(plain, 0xDB),
        "stray_before_frame": with_stray_bytes(plain, 0xC0),
        "stray_before_scan": with_stray_bytes(plain, 0xDA),
        "stray_before_end": plain[:-2] + b"stray bytes" + plain[-2:],
        "appended": plain + b"what some cameras append",
        "padded_markers": plain.replace(b"\xff\xda", b"\xff\xff\xff\xda", 1),
        "chroma_444": sampled_jpeg("444"),
        "chroma_440": sampled_jpeg("440"),
        "chroma_411": sampled_jpeg("411"),
        "chroma_unusual": jpeg_of_odd_sampling(),
        "rgb_jpeg": pillow_bytes(photo, "JPEG", keep_rgb=True, quality=95),
        "upright_exif": rotated_jpeg(1),
        "cmyk": pillow_bytes(photo.convert("CMYK"), "JPEG", quality=95),
        "rotated": rotated_jpeg(6),
        "png": pillow_bytes(photo, "PNG"),
        "png_gray": pillow_bytes(photo.convert("L"), "PNG"),
        "png_1_bit": pillow_bytes(photo.convert("1", dither=Image.Dither.NONE), "PNG"),
        "png_palette": pillow_bytes(palette, "PNG"),
        "png_palette_2_bits": pillow_bytes(photo.quantize(4), "PNG"),
        "png_palette_2_bits_alpha": pillow_bytes(photo.quantize(4), "PNG", transparency=0),
        "png_alpha": pillow_bytes(alpha, "PNG"),
        "png_gray_alpha": pillow_bytes(alpha.convert("LA"), "PNG"),
        "png_palette_alpha": pillow_bytes(palette, "PNG", transparency=palette.getpixel((0, 0))),
        "png_appended": pillow_bytes(photo, "PNG") + b"what some programs append",
        "png_rotated": pillow_bytes(photo, "PNG", exif=exif),
        "webp": pillow_bytes(photo, "WEBP", quality=95),
        "webp_alpha": pillow_bytes(alpha, "WEBP", lossless=True),
    }


def exif_with_a_mistyped_tag(orientation):
    """The orientation, and a resolution that is text where a fraction belongs."""
    entries = struct.pack("<HHHII", 2, 0x0112, 3, 1, orientation)
    entries += struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\0") + b"\0\0\0\0"
    return b"Exif\0\0II*\0\x08\0\0\0" + entries


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def make_input(folder, rows=12, test_rows=3):
    """A folder `images`, a `train.csv` of shape name and a `test.csv`: their paths as settings."""
    images = Path(folder) / "images"
    images.mkdir(parents=True)
    train = [f"a{row:03d}" for row in range(rows)]
    test = [f"t{row:03d}" for row in range(test_rows)]
    for seed, image_id in enumerate(train + test):
        (images / f"{image_id}.jpg").write_bytes(jpeg(seed, 20 + seed % 5, 30, gray=seed % 4 == 0))
    labels = [(image_id, CLASSES[at % len(CLASSES)]) for at, image_id in enumerate(train)]
    return {
        "csv": write_csv(Path(folder) / "train.csv", [("image_id", "label"), *labels]),
        "test_csv": write_csv(
            Path(folder) / "test.csv", [("image_id",), *((image_id,) for image_id in test)]
        ),
        "images_dir": str(images),
    }


def config(data_dir, **settings):
    defaults = {"name": "clothes", "version": "1.0.0", "workers": 2}
    return PrepConfig(**{**defaults, "data_dir": str(data_dir), **settings})


def run(data_dir, **settings):
    """Prepare; the dataset's directory and the lines that were said."""
    said = []
    return prepare(config(data_dir, **settings), said.append), said


def fill_disk(monkeypatch):
    """Leave no room for a spool: images are read twice."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))


def interrupted(data_dir, monkeypatch, **settings):
    """A run whose shards and metadata are all written when the disk refuses to publish them."""
    rename = os.rename

    def refuse(source, target):
        if str(source).endswith("files"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        with pytest.raises(OrchardError, match="does not take a dataset"):
            run(data_dir, **settings)
    return LocalStaging(str(data_dir), "clothes", "1.0.0")


def digests(directory):
    """SHA-256 of every file in a dataset but the one whose bytes may differ."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(Path(directory).iterdir())
        if file.name != "run_log.json"
    }
