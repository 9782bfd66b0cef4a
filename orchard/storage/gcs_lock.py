"""A lock on gs:// that becomes free when its holder dies or loses its network.

The lock is an object that its holder replaces every few seconds. A process that finds it unchanged
for the length of a lease takes it over: by then the old holder has stopped, because it could not
replace it. Clocks of different machines are never compared.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchard import json_text
from orchard.errors import OrchardError
from orchard.storage import gcs
from orchard.storage.locks import Lock, file_lock, scratch_path

# How long giving a lock back may hold up the end of a program: others can wait for its lease to end
# instead. A network that is down may be why a program was interrupted.
_RELEASE_SECONDS = 5.0
_RELEASE_INTERRUPTED_SECONDS = 0.5


@dataclass(frozen=True)
class Lease:
    """How often a lock is renewed, and how long a renewal lasts.

    Attributes:
        length_seconds: others may take the lock over this long after its last renewal.
        margin_seconds: the holder gives up this long before that.
        beat_seconds: between renewals.
    """

    length_seconds: float = 30.0
    margin_seconds: float = 10.0
    beat_seconds: float = 5.0


@contextmanager
def gcs_lock(path: str, what: str) -> Iterator[Lock]:
    """Hold the lock object at `path` while the block runs.

    A lock file on this machine is held beside it, so that a second process here is refused at once,
    and the object of a process that died here is taken over at once.

    Args:
        path: of the lock object.
        what: what is locked, for messages.

    Raises:
        OrchardError: another process holds it.
    """
    local = f"{scratch_path(path)}.lock"
    with file_lock(local, what, "set TMPDIR to a folder on a disk with room"):
        lock = GcsLock(path, what, _place(local))
        lock.acquire(print)
        release_seconds = _RELEASE_SECONDS
        try:
            yield lock
        except KeyboardInterrupt:
            release_seconds = _RELEASE_INTERRUPTED_SECONDS
            raise
        finally:
            lock.release(release_seconds)


def _place(local_lock: str) -> str:
    """A name for the file of a local lock, as no other machine or file has."""
    status = os.stat(local_lock)
    boot_id = ""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        boot_id = file.read().strip()
    return f"{os.uname().nodename} {boot_id} {status.st_dev}:{status.st_ino}"


class GcsLock(Lock):
    """The lock object at `path`, held from `acquire` to `release`.

    Args:
        path: of the lock object.
        what: what is locked, for messages.
        place: names a lock file on this machine that the caller holds: an object that was left by a
            holder in the same place is a dead one's.
        lease: the same for all who use the lock.
    """

    def __init__(self, path: str, what: str, place: str, lease: Lease | None = None) -> None:
        self._path, self._what, self._lease = path, what, lease or Lease()
        self._content = json.dumps(
            {
                "place": place,
                "host": os.uname().nodename,
                "pid": os.getpid(),
                "holder": uuid.uuid4().hex,
            }
        ).encode()
        self._place = place
        self._generation = 0
        self._renewed = 0.0
        self._lost = ""
        self._stop = threading.Event()
        self._mutex = threading.Lock()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="gcs-lock")

    def acquire(self, log: Callable[[str], None]) -> None:
        """Take the lock; waits for the end of a lease when its holder may be dead.

        Args:
            log: takes the line that says why it takes so long.

        Raises:
            OrchardError: another writer is alive.
        """
        try:
            self._write(gcs.ABSENT)
        except gcs.GenerationConflict:
            self._take_over(log)
        self._thread.start()

    def check(self) -> None:
        """Renew the lock now.

        Raises:
            OrchardError: it was lost; nothing may be published any more.
        """
        self._renew()
        self.raise_if_lost()

    def raise_if_lost(self) -> None:
        """Raise if the lock is lost; makes a request only when it has not been renewed for long."""
        if self._is_running_out():
            self._renew()
        if self._lost:
            raise OrchardError(f"{self._what}: {self._lost}; run the same command again to go on")

    def release(self, max_seconds: float | None = None) -> None:
        """Give the lock back, unless it was lost or never taken.

        Args:
            max_seconds: try no longer than this. A lock that is not given back is free at once in
                the same place, elsewhere after a lease.
        """
        if self._generation:
            self._stop.set()
            last = threading.Thread(target=self._give_back, daemon=True, name="gcs-lock-release")
            last.start()
            last.join(max_seconds)

    def _give_back(self) -> None:
        self._thread.join()
        if not self._lost:
            with contextlib.suppress(OrchardError):
                gcs.delete(self._path, self._generation)

    def _write(self, generation: int) -> None:
        started = time.monotonic()
        self._generation = gcs.write_bytes(self._path, self._content, generation).generation
        # Counted from before the request: others may see the object before we have the answer.
        self._renewed = started

    def _take_over(self, log: Callable[[str], None]) -> None:
        found = gcs.stat(self._path)
        holder = self._holder(found)
        if found is not None and holder.get("place") != self._place:
            seconds = self._lease.length_seconds
            who = f"process {holder.get('pid')} on {holder.get('host')}"
            log(
                f"{self._what} has a writer, {who}: waiting up to {seconds:.0f} s to see "
                "whether it is alive"
            )
            deadline = time.monotonic() + seconds
            while found is not None and time.monotonic() < deadline:
                time.sleep(min(1.0, self._lease.beat_seconds))
                seen, found = found, gcs.stat(self._path)
                if found is not None and found.generation != seen.generation:
                    raise OrchardError(
                        f"{self._what} is being written by another process ({who}); wait for it or "
                        "stop it"
                    )
        try:
            self._write(gcs.ABSENT if found is None else found.generation)
        except gcs.GenerationConflict as error:
            raise OrchardError(
                f"{self._what} is being written by another process, which was faster; wait for it "
                "or stop it"
            ) from error

    def _holder(self, found: gcs.ObjectInfo | None) -> dict[str, object]:
        if found is None:
            return {}
        try:
            holder = json_text.loads(gcs.read_bytes(self._path))
        except (OrchardError, ValueError):
            return {}  # Released, or replaced, between the two requests.
        return holder if isinstance(holder, dict) else {}

    def _beat(self) -> None:
        while not self._stop.wait(self._lease.beat_seconds):
            self._renew()

    def _is_running_out(self) -> bool:
        left = self._lease.length_seconds - (time.monotonic() - self._renewed)
        return left < self._lease.margin_seconds

    def _renew(self) -> None:
        with self._mutex:
            if self._lost or self._stop.is_set():
                return
            try:
                self._write(self._generation)
            except gcs.GenerationConflict:
                self._lost = "another process has taken over the writing"
            except OrchardError as error:
                if self._is_running_out():
                    self._lost = f"the lock could not be renewed ({error})"
