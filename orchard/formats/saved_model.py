"""A SavedModel's identity."""

import hashlib

from orchard import storage

# TensorFlow's name for the graph; written last, so that what has it is whole.
SAVED_MODEL_FILE = "saved_model.pb"


def fingerprint_saved_model(folder: str) -> str:
    """SHA-256, in hex, over the names and contents of a SavedModel's files."""
    digest = hashlib.sha256()
    for name in storage.list_files(folder):
        content = storage.read_bytes(storage.join(folder, name))
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()
