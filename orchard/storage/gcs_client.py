"""The google-cloud-storage client: one for each process, with retries, its errors explained."""

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from orchard.errors import MissingObject, OrchardError
from orchard.storage.gcs_errors import explain, is_missing_object

# Truncated exponential back-off with jitter, as the service asks for:
# https://cloud.google.com/storage/docs/retry-strategy
_FIRST_DELAY_SECONDS = 0.25
_MAX_DELAY_SECONDS = 32.0
_DEADLINE_SECONDS = 300.0
_CONNECT_AND_READ_SECONDS = (10, 120)
# How often a transfer is tried whose checksum is wrong.
TRANSFERS = 6
_clients_lock = threading.Lock()

Result = TypeVar("Result")


def patience() -> dict[str, Any]:
    """How long a request may take, and how it is retried."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_delay(initial=_FIRST_DELAY_SECONDS, maximum=_MAX_DELAY_SECONDS)
    return {
        "retry": retry.with_timeout(_DEADLINE_SECONDS),
        "timeout": _CONNECT_AND_READ_SECONDS,
    }


def bucket(name: str) -> Any:
    """The bucket, as the process's client sees it; no request is made."""
    with _clients_lock:
        client = _client(os.getpid(), os.environ.get("STORAGE_EMULATOR_HOST", ""))
    return client.bucket(name)


@functools.lru_cache(maxsize=1)
def _client(pid: int, emulator: str) -> Any:
    """The process's client; a process that was forked needs connections of its own."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    # Objects belong to buckets, which are named globally: no project is ever used.
    credentials = AnonymousCredentials() if emulator else None
    return Client(project="none", credentials=credentials)


@contextmanager
def explained(path: str, permission: str) -> Iterator[None]:
    """Turn what the client raises into one line on `path`; `permission`: what the call needs."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.cloud.storage.exceptions import DataCorruption

    try:
        yield
    except (api.GoogleAPIError, auth.GoogleAuthError, DataCorruption, OSError) as error:
        kind = MissingObject if is_missing_object(error) else OrchardError
        raise kind(explain(path, permission, error)) from error


def until_intact(transfer: Callable[[], Result]) -> Result:
    """Repeat a transfer whose content was corrupted on its way."""
    from google.api_core import exceptions
    from google.cloud.storage.exceptions import DataCorruption

    for _ in range(TRANSFERS - 1):
        try:
            return transfer()
        except DataCorruption:
            continue
        except exceptions.BadRequest as error:
            # The service's answer to content that does not match the checksum sent along.
            if "CRC32C" not in str(error):
                raise
    return transfer()
