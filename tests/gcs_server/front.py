"""The listening side: plain HTTP, and TLS behind CONNECT, on one loopback port."""

import json
import socket
import ssl
import struct
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.gcs_server.certificate import HOSTS
from tests.gcs_server.conditions import Conditions
from tests.gcs_server.emulator import Emulator, Response
from tests.gcs_server.protocol import Request
from tests.gcs_server.service import Service

_CONTROL = "/_server/"


class Front(ThreadingHTTPServer):
    """An HTTP server on a free port of 127.0.0.1 that is also a proxy to Google's hosts, faked.

    Clients that take an address (`STORAGE_EMULATOR_HOST`) come with plain HTTP; those whose
    hosts are fixed come through `https_proxy`: CONNECT is granted for these hosts only, and TLS
    ends here. What lies under `/_server/` is for the tests that drive it.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, certificate_path):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate_path)
        self.emulator = Emulator(self.url)
        self.service = Service(self.emulator, self.url)

    def server_close(self) -> None:
        """Stop listening, and the emulator with it."""
        super().server_close()
        self.emulator.stop()

    def handle_error(self, request, client_address) -> None:
        """Clients are killed on purpose here; a connection that breaks is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are separate writes: with Nagle's algorithm each would wait for an ACK.
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self._base_url = self.server.url
        self._emulator_connection = None

    def finish(self):
        if self._emulator_connection is not None:
            self._emulator_connection.close()
        super().finish()
        # After TLS this is another socket than the one that the server closes.
        self.connection.close()

    def log_message(self, *_):
        pass

    def do_CONNECT(self):  # noqa: N802
        host = self.path.partition(":")[0]
        if host not in HOSTS:
            self.send_error(403, f"{host} is not for tests to reach")
            return
        self.send_response(200, "Connection established")
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self._base_url = f"https://{host}"
        self.close_connection = False

    def _serve(self):
        request = Request(self.command, self.path, self.headers.items(), self._read_body())
        if self.path.startswith(_CONTROL):
            self._send(self._control(request))
            return
        if self._emulator_connection is None:
            self._emulator_connection = self.server.emulator.connect()
        service = self.server.service
        outcome = service.handle(request, self._base_url, self._emulator_connection)
        nothing_to_truncate = outcome.mishap == "truncate" and not outcome.response.body
        if outcome.mishap == "reset" or nothing_to_truncate:
            self._reset()
        else:
            self._send(outcome.response, truncate=outcome.mishap == "truncate")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _read_body(self) -> bytes:
        # "identity" is no encoding at all; TensorFlow sends it with empty POSTs.
        if self.headers.get("Transfer-Encoding", "identity").lower() != "chunked":
            return self._read_exactly(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self._read_exactly(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # Trailers.
        return b"".join(chunks)

    def _read_exactly(self, num_bytes: int) -> bytes:
        data = self.rfile.read(num_bytes)
        if len(data) < num_bytes:  # The client died: what it never sent whole never arrived.
            raise ConnectionError("the request ended early")
        return data

    def _control(self, request: Request) -> Response:
        service, emulator = self.server.service, self.server.emulator
        command, _, argument = self.path.removeprefix(_CONTROL).partition("?")
        if command == "conditions":
            fields = json.loads(request.body)
            fields["fault_kinds"] = tuple(fields["fault_kinds"])
            service.set_conditions(Conditions(**fields))
            return Response(200, [], b"")
        bucket, _, name = argument.partition("/")
        if command == "clear":
            emulator.clear(bucket)
            return Response(200, [], b"")
        if command == "log":
            return Response(200, [], json.dumps(service.take_log()).encode())
        if command == "held":
            return Response(200, [], json.dumps(service.num_held).encode())
        if command == "objects":
            return Response(200, [], json.dumps(emulator.objects(bucket, name)).encode())
        return emulator.read(bucket, name)

    def _send(self, response: Response, truncate: bool = False) -> None:
        self.send_response(response.status)
        names = set()
        for name, value in response.headers:
            self.send_header(name, value)
            names.add(name.lower())
        if "content-length" not in names and response.status not in (204, 304):
            self.send_header("Content-Length", str(len(response.body)))
        body = response.body
        if truncate:
            self.send_header("Connection", "close")
            body = body[: len(body) // 2]
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        # Lingering for zero seconds makes close() send RST instead of an orderly end.
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.close()
