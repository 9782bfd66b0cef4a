"""How TensorFlow reads gs://: the size of a request and the cache, from the dataset's size.

TensorFlow takes both from the environment when a process first touches gs://. Its defaults read
64 MiB at every opening of a file and keep nothing, which suits whole files read in order: the
block reader opens a file at every block of about a megabyte.
"""

import math
import os

import psutil

_BLOCK_SIZE = "GCS_READ_CACHE_BLOCK_SIZE_MB"
_CACHE_SIZE = "GCS_READ_CACHE_MAX_SIZE_MB"
_MIB = 1 << 20
# Of a dataset that fits into the cache every byte is wanted: few large requests.
_LARGE_BLOCK_MIB = 16
# Of a larger one a request takes no more than a block of the training order
# (`order.block_options`), which is cut into the windows of several moments: hence the cache.
_SMALL_BLOCK_MIB = 1
# The rest is left to decoding and to the network's process.
_MEMORY_PART = 0.4


def read_options(dataset_bytes: int, memory_bytes: int) -> dict[str, str]:
    """The environment variables of TensorFlow's gs:// file system.

    Args:
        dataset_bytes: size of all shards that the process reads.
        memory_bytes: what may be used; the cache takes no more than it needs and at most 40 %.
    """
    # A block at the end of each file is partly empty, and counts whole.
    needed_mib = math.ceil(1.1 * dataset_bytes / _MIB) + 4 * _LARGE_BLOCK_MIB
    room_mib = int(_MEMORY_PART * memory_bytes / _MIB)
    block_mib = _LARGE_BLOCK_MIB if needed_mib <= room_mib else _SMALL_BLOCK_MIB
    return {_BLOCK_SIZE: str(block_mib), _CACHE_SIZE: str(min(needed_mib, room_mib))}


def set_read_options(dataset_bytes: int) -> None:
    """Set them for this process, before it first touches gs://; what the user has set stays."""
    memory_bytes = psutil.virtual_memory().available
    if _BLOCK_SIZE not in os.environ and _CACHE_SIZE not in os.environ:
        os.environ.update(read_options(dataset_bytes, memory_bytes))
