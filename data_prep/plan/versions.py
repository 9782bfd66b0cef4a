"""The library versions that decide a dataset's bytes."""

import functools
import importlib.metadata

from data_prep.plan.shards import FORMAT_VERSION

# What splits and encodes: other versions of these are other data.
_DECIDING = ("numpy", "pillow", "scikit-learn", "iterative-stratification", "simplejpeg")
# What writes index, metadata and card around the data.
_AROUND = ("jinja2", "matplotlib", "pyarrow", "tensorflow-datasets")


# Each parses a file of the installation.
_version = functools.cache(importlib.metadata.version)


def deciding_versions() -> dict[str, str]:
    """Versions that are part of the fingerprint."""
    versions = {name: _version(name) for name in _DECIDING}
    return {"data_prep_format": str(FORMAT_VERSION), **versions}


def library_versions() -> dict[str, str]:
    """All versions on which a byte of the dataset's directory depends."""
    return deciding_versions() | {name: _version(name) for name in _AROUND}
