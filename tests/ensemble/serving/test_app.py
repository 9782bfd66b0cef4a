"""The server's paths, asked by real clients."""

import base64
import dataclasses
import io
import json
import socket
import threading

import numpy as np
import pytest
from PIL import Image

from ensemble.serving import Limits
from tests.data_prep.builders import rotated_jpeg
from tests.ensemble.builders import CLASS_NAMES
from tests.ensemble.serving.conftest import listening


def _picture(kind, size=(32, 24), **options):
    buffer = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


def test_predict_gives_what_the_predictor_gives(served):
    status, found = served.predict(served.jpegs[:5])
    assert status == 200
    rows = [one["probabilities"] for one in found["predictions"]]
    np.testing.assert_allclose(rows, served.predictor.predict(served.jpegs[:5]), atol=1e-6)
    assert found["predictions"][0]["class_names"] == list(CLASS_NAMES)
    path = "/v1/models/leaves/versions/1:predict"
    assert served.predict(served.jpegs[:1], path)[1]["predictions"][0] == found["predictions"][0]


@pytest.mark.parametrize(
    "image",
    [rotated_jpeg(6), _picture("PNG"), _picture("WEBP"), _picture("JPEG", progressive=True)],
    ids=["rotated", "png", "webp", "progressive"],
)
def test_predict_of_odd_files_prepares_them_as_a_dataset_does(served, image):
    status, found = served.predict([image])
    assert status == 200, found
    expected = served.predictor.predict([image])[0]
    np.testing.assert_allclose(found["predictions"][0]["probabilities"], expected, atol=1e-6)


def test_members_say_what_each_of_them_says(served):
    status, found = served.predict(served.jpegs[:2], signature_name="members")
    assert status == 200
    one = found["predictions"][1]
    assert one["member_names"] == list(served.predictor.member_names) == ["a", "b"]
    expected = served.predictor.predict_members(served.jpegs[:2])[1]
    np.testing.assert_allclose(one["member_probabilities"], expected[1:], atol=1e-6)
    np.testing.assert_allclose(one["probabilities"], expected[0], atol=1e-6)


def test_top_k_gives_each_image_as_many_classes_as_it_asks_for(served):
    plain = served.predict(served.jpegs[:1])[1]["predictions"][0]
    body = {"signature_name": "top_k", "inputs": {"image_bytes": _b64(served.jpegs[0]), "k": 2}}
    status, _, content = served.ask("POST", "/v1/models/leaves:predict", json.dumps(body))
    assert status == 200
    found = json.loads(content)["outputs"]
    order = np.argsort(plain["probabilities"])[::-1][:2]
    assert found["classes"] == [[CLASS_NAMES[at] for at in order]]
    assert found["probabilities"] == [[plain["probabilities"][at] for at in order]]


def _b64(data):
    return {"b64": base64.b64encode(data).decode()}


def test_status_and_metadata_are_tensorflow_servings(served):
    status, _, content = served.ask("GET", "/v1/models/leaves")
    assert status == 200
    (version,) = json.loads(content)["model_version_status"]
    assert (version["version"], version["state"]) == ("1", "AVAILABLE")
    status, _, content = served.ask("GET", "/v1/models/leaves/versions/1/metadata")
    found = json.loads(content)
    assert found["model_spec"]["name"] == "leaves"
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "top_k", "members"}
    # What is said of each signature is what the SavedModel has.
    for name, described in signatures.items():
        signature = served.predictor._model.signatures[name]
        inputs = {spec.name: spec for spec in signature.structured_input_signature[1].values()}
        for side, specs in (("inputs", inputs), ("outputs", signature.structured_outputs)):
            assert set(described[side]) == set(specs)
            for key, spec in specs.items():
                kind = {"string": "STRING", "float32": "FLOAT", "int32": "INT32"}[spec.dtype.name]
                assert described[side][key]["dtype"] == f"DT_{kind}"
                dimensions = described[side][key]["tensor_shape"]["dim"]
                assert len(dimensions) == spec.shape.rank


def test_page_health_and_metrics_are_there(served):
    status, headers, content = served.ask("GET", "/")
    assert status == 200 and b"v1/models/leaves:predict" in content
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for outside in (b"http://", b"https://", b"//cdn"):
        assert outside not in content
    assert served.ask("GET", "/healthz")[2] == b"ok\n"
    assert served.predict(served.jpegs[:2])[0] == 200
    text = served.ask("GET", "/metrics")[2].decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    answered = float(values['orchard_requests_total{status="200"}'])
    assert answered >= 1 and float(values["orchard_request_seconds_count"]) >= answered
    assert float(values["orchard_batch_images_sum"]) >= answered
    assert float(values["orchard_requests_in_flight"]) == 0
    assert float(values["process_resident_memory_bytes"]) > 0


def test_server_that_is_busy_says_so(served):
    """One request at a time is answered; the others are told, and lose nothing but time."""
    limits = Limits(max_requests=1, max_wait_ms=300)
    with listening(served.model, limits) as port:
        busy = dataclasses.replace(served, port=port)
        found = []
        ask = lambda: found.append(busy.predict(served.jpegs[:1]))  # noqa: E731
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(status for status, _ in found) == [200, 503, 503, 503]
        refused = next(answer for status, answer in found if status == 503)
        assert refused == {"error": "1 requests are being answered; try again"}
        assert busy.predict(served.jpegs[:1])[0] == 200


_WHOLE = _picture("JPEG")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "the body is no JSON"),
        (b"\xff\xd8\xff\xe0 a JPEG itself", 400, "the body is no JSON"),
        (b"[" * 100_000, 400, "too many for photos"),
        ({"instances": [_b64(b"<html>")]}, 400, "image 0: not a usable image"),
        ({"instances": [_b64(_WHOLE), _b64(_WHOLE[:200])]}, 400, "image 1: "),
        ({"instances": [_b64(_picture("JPEG", (501, 500)))]}, 400, "501x500 is more than --max_p"),
        ({"instances": [_b64(_picture("PNG", (5000, 5000), compress_level=9)[:100])]}, 400, "cut"),
        ({"instances": [_b64(_WHOLE[:-40] + b"\xff\xd9")] * 6}, 413, "6 images in one request"),
        ({"instances": [_b64(b"x")], "signature_name": "../../x"}, 400, "signature_name"),
        (b" " * 1_000_001, 413, "a body of more than 1 MB"),
        (b" " * 3_000_000, 413, "a body of more than 1 MB"),
        (b"[" + b"{}," * 300_000 + b"{}]", 400, "JSON values, too many for photos"),
    ],
    ids=[
        *("empty", "jpeg", "deep", "html", "cut", "pixels", "cut png", "many", "path", "large"),
        *("larger", "values"),
    ],
)
def test_hostile_body_is_refused_in_one_line(served, body, status, words):
    body = body if isinstance(body, bytes) else json.dumps(body)
    found, _, content = served.ask("POST", "/v1/models/leaves:predict", body)
    error = json.loads(content)["error"]
    assert found == status and words in error and len(error.splitlines()) == 1
    assert served.predict(served.jpegs[:1])[0] == 200  # and nobody else has noticed


def test_image_whose_pixels_cannot_be_decoded_spoils_no_other_request(served):
    header_alone = _WHOLE[: _WHOLE.index(b"\xff\xda") + 4] + b"\xff\xd9"
    outcomes = {}

    def ask(name, image):
        outcomes[name] = served.predict([image])

    threads = [threading.Thread(target=ask, args=("bad", header_alone))]
    threads += [
        threading.Thread(target=ask, args=(at, image)) for at, image in enumerate(served.jpegs[:5])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.pop("bad") == (400, {"error": "image 0: the pixels cannot be decoded"})
    rows = [outcomes[at][1]["predictions"][0]["probabilities"] for at in range(5)]
    np.testing.assert_allclose(rows, served.predictor.predict(served.jpegs[:5]), atol=1e-6)


def test_body_without_a_length_is_read_no_further_than_allowed(served):
    def endless():
        for _ in range(100):
            yield b" " * 100_000

    try:
        status, _, content = served.ask("POST", "/v1/models/leaves:predict", endless())
    except (BrokenPipeError, ConnectionResetError):
        return  # It was told, and did not listen.
    assert status == 413 and b"a body of more than 1 MB" in content


def test_client_that_stops_halfway_is_told_so(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        head = b"POST /v1/models/leaves:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{"
        client.sendall(head)
        answer = b""
        while part := client.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ") and b"no whole request within 2 s" in answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/other", 404),
        ("POST", "/v1/models/other:predict", 404),
        ("POST", "/v1/models/leaves:classify", 404),
        ("POST", "/v1/models/leaves/versions/2:predict", 404),
        ("GET", "/v1/models/leaves:predict", 405),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/<script>", 404),
    ],
)
def test_path_that_is_not_there_is_one_line(served, method, path, status):
    found, headers, content = served.ask(method, path)
    assert found == status and headers["Content-Type"] == "application/json"
    assert "POST /v1/models/leaves:predict" in json.loads(content)["error"]


def test_eight_clients_lose_nothing(served):
    """Each answer belongs to its own image, whatever shared its batch."""
    expected = served.predictor.predict(served.jpegs)
    wrong, answered = [], []

    def client(number):
        generator = np.random.default_rng(number)
        for _ in range(25):
            at = int(generator.integers(len(served.jpegs)))
            signature = "members" if generator.random() < 0.3 else "serving_default"
            status, found = served.predict([served.jpegs[at]], signature_name=signature)
            if status != 200:
                wrong.append(found)
                continue
            row = found["predictions"][0]["probabilities"]
            if np.abs(row - expected[at]).max() > 1e-5:
                wrong.append((at, row))
            answered.append(at)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(answered) == 200
