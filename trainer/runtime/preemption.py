"""Google Compute Engine's notices that it is about to take a machine away.

The metadata server of a VM, TPU VMs included, announces a preemption some 30 seconds ahead, and of
host maintenance that the VM will not survive. The shutdown that follows sends SIGTERM to services,
which a training in a terminal is not.
https://cloud.google.com/compute/docs/instances/create-use-spot#detect-preemption
https://cloud.google.com/compute/docs/metadata/getting-live-migration-notice
"""

import contextlib
import http.client
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

# By key below instance/: the value that announces the VM's end. A live migration does not end it.
_NOTICES = {"preempted": "TRUE", "maintenance-event": "TERMINATE_ON_HOST_MAINTENANCE"}
_HEADER, _FLAVOR = "Metadata-Flavor", "Google"
_ANSWER_SECONDS = 5
_CHANGE_SECONDS = 60
_RETRY_SECONDS = 2
_PROBES = 3


@contextlib.contextmanager
def watch_preemption(on_notice: Callable[[str], None]) -> Iterator[None]:
    """In this context `on_notice(what)` is called when the machine's end is announced.

    Threads ask the metadata server, and give up at once where nothing answers as it does.
    GCE_METADATA_HOST names another address than metadata.google.internal.
    """
    watch = _Watch(on_notice)
    for key in _NOTICES:
        # A daemon: a request that waits for a change does not keep the process.
        threading.Thread(target=watch.run, args=(key,), name=f"watch {key}", daemon=True).start()
    try:
        yield
    finally:
        watch.closed.set()


class _Watch:
    def __init__(self, on_notice: Callable[[str], None]):
        self._on_notice = on_notice
        self._host = os.environ.get("GCE_METADATA_HOST")
        self.closed = threading.Event()
        # Without the proxies of the environment: the server is on this machine's link.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def run(self, key: str) -> None:
        """Ask until there is a notice, or the watch is closed."""
        etag: str | None = None
        failures = 0
        while not self.closed.is_set():
            try:
                value, etag = self._ask(key, etag)
            # Who answers may be anybody, with anything: half an answer, or one that is no text.
            except (OSError, http.client.HTTPException, ValueError) as error:
                failures += 1
                missing = isinstance(error, urllib.error.HTTPError) and error.code == 404
                absent = etag is None and self._host is None and failures >= _PROBES
                if missing or absent:
                    return
                self.closed.wait(_RETRY_SECONDS)
                continue
            if value == _NOTICES[key] and not self.closed.is_set():
                self._on_notice(f"Compute Engine says {key} {value}")
                return

    def _ask(self, key: str, etag: str | None) -> tuple[str, str]:
        """The value of a key and its version; if it is `etag` still, wait for a change."""
        host = self._host or "metadata.google.internal"
        url = f"http://{host}/computeMetadata/v1/instance/{key}"
        seconds = _ANSWER_SECONDS
        if etag is not None:
            url += f"?wait_for_change=true&timeout_sec={_CHANGE_SECONDS}&last_etag={etag}"
            seconds += _CHANGE_SECONDS
        request = urllib.request.Request(url, headers={_HEADER: _FLAVOR})
        with self._opener.open(request, timeout=seconds) as response:
            if response.headers.get(_HEADER) != _FLAVOR:
                raise OSError(f"{host} is no metadata server")
            return response.read().decode().strip(), response.headers.get("ETag", "0")
