"""What worker processes do first: end with the process that started them, and keep memory."""

import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
# glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT_BYTES = 32 << 20
_KEPT_BYTES = 64 << 20


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies, even by SIGKILL; works on Linux only.

    Args:
        parent_pid: what `os.getpid()` gave in the process that started this one; where that one is
            dead already, this process ends at once.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        # The parent died before the line above took effect.
        os._exit(1)


def keep_freed_memory() -> None:
    """Have malloc use again what this process frees, up to 64 MiB; works with glibc only.

    Else a large buffer is given back to the kernel when it is freed, and the next one costs a page
    fault every 4 KiB: for a file of a megabyte several times what reading it costs.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        malloc = ctypes.CDLL(None)
        malloc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
        malloc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
