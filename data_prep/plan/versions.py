"""The library versions that decide a dataset's bytes."""

import functools
import importlib.metadata

from data_prep.plan.shards import FORMAT_VERSION
from orchard.formats import RECORD_FORMATS, TFRECORD

# What splits and encodes: other versions of these are other data.
_DECIDING = ("numpy", "pillow", "scikit-learn", "iterative-stratification", "simplejpeg")
# What writes index, metadata and card around the data.
_AROUND = ("jinja2", "matplotlib", "pyarrow", "tensorflow-datasets")


# Each parses a file of the installation.
_version = functools.cache(importlib.metadata.version)


def deciding_versions(file_format: str = TFRECORD.name) -> dict[str, str]:
    """Versions that are part of the fingerprint of a dataset with files of that form."""
    packages = (*_DECIDING, *RECORD_FORMATS[file_format].packages)
    versions = {name: _version(name) for name in packages}
    return {"data_prep_format": str(FORMAT_VERSION), **versions}


def library_versions(file_format: str = TFRECORD.name) -> dict[str, str]:
    """All versions on which a byte of the dataset's directory depends."""
    return deciding_versions(file_format) | {name: _version(name) for name in _AROUND}
