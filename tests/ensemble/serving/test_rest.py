"""TensorFlow Serving's JSON, in and out."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.serving import rest

_ALL = (rest.DEFAULT, rest.TOP_K, rest.MEMBERS)


def _b64(data):
    return {"b64": base64.b64encode(data).decode()}


def _parse(value, max_instances=3):
    return rest.parse_predict(json.dumps(value).encode(), _ALL, max_instances)


@pytest.mark.parametrize(
    "request_json",
    [
        {"instances": [_b64(b"one"), _b64(b"two")]},
        {"instances": [{"image_bytes": _b64(b"one")}, {"image_bytes": _b64(b"two")}]},
        {"inputs": {"image_bytes": [_b64(b"one"), _b64(b"two")]}},
        {"inputs": [_b64(b"one"), _b64(b"two")]},
    ],
    ids=["rows", "named rows", "named columns", "columns"],
)
def test_parse_predict_reads_each_of_tensorflow_servings_forms(request_json):
    found = _parse(request_json)
    assert found.images == (b"one", b"two") and found.signature == rest.DEFAULT
    assert found.columnar == ("inputs" in request_json)


def test_parse_predict_of_top_k_has_a_number_for_each_image():
    rows = [{"image_bytes": _b64(b"one"), "k": 2}, {"image_bytes": _b64(b"two"), "k": 5}]
    assert _parse({"signature_name": "top_k", "instances": rows}).top_k == (2, 5)
    columns = {"image_bytes": [_b64(b"one"), _b64(b"two")], "k": [2, 5]}
    assert _parse({"signature_name": "top_k", "inputs": columns}).top_k == (2, 5)
    one = {"image_bytes": _b64(b"one"), "k": 2}
    assert _parse({"signature_name": "top_k", "inputs": one}).top_k == (2,)


def test_parse_predict_takes_base64_with_line_breaks():
    data = bytes(range(256))
    text = base64.encodebytes(data).decode()
    assert _parse({"instances": [{"b64": text}]}).images == (data,)


@pytest.mark.parametrize(
    ("request_json", "words"),
    [
        ([], "no JSON object"),
        ({}, 'either "instances" or "inputs"'),
        ({"instances": [_b64(b"a")], "inputs": _b64(b"a")}, 'either "instances" or "inputs"'),
        ({"instances": []}, "there is no image"),
        ({"instances": {"b64": "AA=="}}, "there is no image"),
        ({"instances": ["AA=="]}, 'image 0 is no {"b64": "..."}'),
        ({"instances": [{"b64": 7}]}, 'image 0 is no {"b64": "..."}'),
        ({"instances": [{"b64": "AA==", "k": 1}]}, 'image 0 is no {"b64": "..."}'),
        ({"instances": [{"b64": "\u00e9"}]}, "image 0: its b64 is no base64"),
        ({"instances": [{"b64": "abc"}]}, "image 0: its b64 is no base64"),
        ({"instances": [{"b64": ""}]}, "image 0 is empty"),
        ({"instances": [{"pixels": []}]}, "takes image_bytes, not ['pixels']"),
        ({"instances": [_b64(b"a")] * 4}, "4 images in one request, of at most 3"),
        ({"instances": [_b64(b"a")], "signature_name": "none"}, "signature_name none is none"),
        ({"instances": [_b64(b"a")], "signature_name": ["x"]}, "signature_name ['x'] is none"),
        ({"instances": [_b64(b"a")], "signature_name": "top_k"}, "top_k takes k and image_bytes"),
        ({"inputs": {"image_bytes": [_b64(b"a")], "k": [1, 2]}}, "are not equally long"),
        ({"inputs": {}}, "there is no image"),
    ],
    ids=str,
)
def test_parse_predict_of_what_is_no_request_is_refused_in_one_line(request_json, words):
    with pytest.raises(rest.RequestError) as caught:
        _parse(request_json)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("k", [0, -1, 1.5, "3", True, None, [1]], ids=str)
def test_parse_predict_of_odd_k_is_refused(k):
    rows = [{"image_bytes": _b64(b"a"), "k": k}]
    with pytest.raises(rest.RequestError, match="a whole number of at least 1"):
        _parse({"signature_name": "top_k", "instances": rows})


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.just({"b64": "AA=="}),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["instances", "inputs", "b64", "image_bytes", "k", "signature_name"]),
            inner,
        )
    ),
    max_leaves=8,
)


@given(st.binary() | _json.map(lambda value: json.dumps(value).encode()))
def test_parse_predict_of_anything_is_a_request_or_one_line(body):
    try:
        found = rest.parse_predict(body, _ALL, 3)
    except rest.RequestError as error:
        assert str(error) and len(str(error).splitlines()) == 1 and len(str(error)) < 400
    else:
        assert found.images


def test_parse_predict_of_json_nested_a_million_deep_is_refused():
    for values, words in ((1_000_000, "too many for photos"), (100, "the body is no JSON")):
        with pytest.raises(rest.RequestError, match=words):
            rest.parse_predict(b'{"instances":' + b"[" * values, _ALL, 3)


def test_answer_has_the_form_of_the_request():
    outputs = {"a": [1, 2], "b": ["x", "y"]}
    rows = rest.answer(rest.Predict(rest.DEFAULT, (b"", b"")), outputs)
    assert rows == {"predictions": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]}
    columns = rest.answer(rest.Predict(rest.DEFAULT, (b"", b""), columnar=True), outputs)
    assert columns == {"outputs": outputs}


def test_numbers_are_the_shortest_that_are_the_same_float32():
    values = np.array([[0.1, 1 / 3], [1e-30, 1.0]], np.float32)
    assert rest.numbers(values)[0][0] == 0.1
    np.testing.assert_array_equal(np.array(rest.numbers(values), np.float32), values)


def test_top_classes_are_the_likeliest_first():
    row = np.array([0.2, 0.5, 0.2, 0.1], np.float32)
    assert rest.top_classes(row, "abcd", 3) == (["b", "a", "c"], [0.5, 0.2, 0.2])
    assert rest.top_classes(row, "abcd", 9)[0] == ["b", "a", "c", "d"]
