"""Compute Engine's metadata server on loopback, as far as a watch for preemption needs it."""

import contextlib
import http.server
import threading
import urllib.parse


class MetadataServer:
    """Serves `values`, key below instance/ to text; a change answers who waits for one."""

    def __init__(self, flavor: str = "Google", **values: str):
        self._values = {name.replace("_", "-"): text for name, text in values.items()}
        self._flavor = flavor
        self._changed = threading.Condition()
        self._version = 1
        self.status = 200
        self.raw = b""  # Sent in place of any answer.
        self.requests: list[str] = []
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def host(self) -> str:
        """What GCE_METADATA_HOST has to be."""
        return f"127.0.0.1:{self._http.server_port}"

    def set(self, key: str, text: str) -> None:
        """Change a value."""
        with self._changed:
            self._values[key] = text
            self._version += 1
            self._changed.notify_all()

    def wait_for_requests(self, count: int, containing: str = "") -> None:
        """Return when so many requests have come."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: sum(containing in path for path in self.requests) >= count, timeout=120
            )

    def close(self) -> None:
        """Stop serving."""
        self.set("closed", "")
        self._http.shutdown()
        self._http.server_close()

    def _handler(server):  # noqa: N805 -- the handler below is the one with a `self`.
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query))
                with server._changed:
                    server.requests.append(self.path)
                    server._changed.notify_all()
                    if query.get("wait_for_change") == "true":
                        seen = query["last_etag"]
                        server._changed.wait_for(lambda: str(server._version) != seen, timeout=120)
                    text = server._values.get(
                        url.path.removeprefix("/computeMetadata/v1/instance/")
                    )
                    etag, status = str(server._version), server.status
                if self.headers.get("Metadata-Flavor") != "Google":
                    status = 403
                elif text is None:
                    status = 404
                # The other side may have gone away.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    if server.raw:
                        self.wfile.write(server.raw)
                        return
                    self.send_response(status)
                    self.send_header("Metadata-Flavor", server._flavor)
                    self.send_header("ETag", etag)
                    self.end_headers()
                    self.wfile.write((text or "").encode())

            def log_message(self, *_):
                pass

        return Handler
