"""The command `ensemble.serve`: it starts, answers, and ends well."""

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from ensemble import SavedPredictor
from tests.ensemble.builders import make_ensemble, read_jpeg

pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("serve")
    return root, make_ensemble(root)


def _start(*flags):
    return subprocess.Popen(
        [sys.executable, "-m", "ensemble.serve", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )


def _ask(port, jpeg):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"instances": [{"b64": base64.b64encode(jpeg).decode()}]})
    connection.request("POST", "/v1/models/leaves:predict", body)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_serve_answers_until_sigterm_and_then_what_has_begun(world):
    root, result = world
    jpegs = [read_jpeg(result.inputs.records, row) for row in range(9)]
    # A wait so long that SIGTERM comes while requests are in flight.
    server = _start(f"--model={root}/out", "--name=leaves", "--port=0", "--max_wait_ms=1500")
    try:
        line = server.stdout.readline()
        port = int(re.fullmatch(r"serving \S+ as leaves: http://127\.0\.0\.1:(\d+)\n", line)[1])
        found = {}

        def client(at):
            found[at] = _ask(port, jpegs[at])

        threads = [threading.Thread(target=client, args=(at,)) for at in range(8)]
        for thread in threads:
            thread.start()
        while b"orchard_requests_in_flight 8.0" not in _metrics(port):
            pass
        server.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        output, errors = server.communicate(timeout=60)
    finally:
        server.kill()
    assert server.returncode == 0, errors
    assert output == "ended: everything that had begun is answered\n"
    assert "Traceback" not in errors
    expected = SavedPredictor(root / "out").predict(jpegs[:8])
    assert [found[at][0] for at in range(8)] == [200] * 8
    rows = [found[at][1]["predictions"][0]["probabilities"] for at in range(8)]
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    with pytest.raises(ConnectionRefusedError):
        _ask(port, jpegs[0])


def _metrics(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    return connection.getresponse().read()


@pytest.mark.parametrize("name", ["port", "name"])
def test_serve_with_what_cannot_be_is_one_line(name, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = {"port": f"--port={port}", "name": "--name=a/b"}[name]
        done = _start(f"--model={tmp_path}", flags)
        output, errors = done.communicate(timeout=60)
    assert (done.returncode, output) == (1, "")
    assert len(errors.splitlines()) == 1 and f"--{name}=" in errors
