"""A small ensemble, served by a thread of this process."""

import asyncio
import base64
import contextlib
import http.client
import json
import threading
from dataclasses import dataclass

import pytest

from tests.ensemble.builders import make_ensemble, read_jpeg


@dataclass
class Served:
    """A server, what it serves, and a client of it."""

    port: int
    model: object
    jpegs: list[bytes]

    @property
    def predictor(self):
        """What `ensemble.predict` would ask."""
        return self.model.predictor

    def ask(self, method, path, body=None, headers=None):
        """Status, headers and content of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def predict(self, images, path="/v1/models/leaves:predict", **more):
        """Status and JSON of a request in row format."""
        rows = [{"image_bytes": {"b64": base64.b64encode(one).decode()}} for one in images]
        body = json.dumps({"instances": rows, **more})
        status, _, content = self.ask("POST", path, body)
        return status, json.loads(content)


@contextlib.contextmanager
def listening(model, limits):
    """The port of a server in a thread of its own."""
    from ensemble.serving import bind, make_app
    from ensemble.serving.run import make_server

    socket = bind("127.0.0.1", 0)
    server = make_server(make_app(model, limits))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[socket])))
    port = socket.getsockname()[1]
    thread.start()
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="package")
def served(tmp_path_factory):
    pytest.importorskip("uvicorn")
    from ensemble.serving import Limits, ServedModel

    root = tmp_path_factory.mktemp("served")
    result = make_ensemble(root)
    model = ServedModel(str(root / "out"), "leaves", 250_000)
    model.warm_up(1)
    jpegs = [read_jpeg(result.inputs.records, row) for row in range(9)]
    limits = Limits(max_body_mb=1, max_pixels=250_000, max_instances=5, timeout_seconds=2)
    with listening(model, limits) as port:
        yield Served(port, model, jpegs)
