"""TensorFlow Serving's REST API as plain functions: JSON to photos, arrays to JSON.

https://www.tensorflow.org/tfx/serving/api_rest: requests in row format (`instances`) or columnar
format (`inputs`), bytes as {"b64": ...}, errors as {"error": ...}.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchard import json_text

DEFAULT, TOP_K, MEMBERS = "serving_default", "top_k", "members"
_IMAGE, _K = "image_bytes", "k"
_MAX_SHOWN_CHARACTERS = 80
_VALUES, _VALUES_AN_IMAGE = 100, 10
_ROW_ADVICE = 'give {"instances": [{"image_bytes": {"b64": "..."}}]}'


class RequestError(Exception):
    """A request that is refused.

    Args:
        message: one line.
        status: of HTTP.
    """

    def __init__(self, message: str, status: int = 400):
        super().__init__(" ".join(message.split()))
        self.status = status


@dataclass(frozen=True)
class Predict:
    """A request for predictions.

    Attributes:
        signature: what is asked.
        images: the files.
        top_k: how many classes of each, for the signature of that name.
        columnar: the answer is in columns.
    """

    signature: str
    images: tuple[bytes, ...]
    top_k: tuple[int, ...] = ()
    columnar: bool = False


def parse_predict(body: bytes, signatures: Sequence[str], max_instances: int) -> Predict:
    """The request that a body is.

    Args:
        body: JSON.
        signatures: that there are.
        max_instances: images that one request may have.

    Raises:
        RequestError: it is none.
    """
    # A value takes up to fifty times its text in memory, and photos are few values.
    values = sum(map(body.count, (b",", b"[", b"{")))
    if values > _VALUES + _VALUES_AN_IMAGE * max_instances:
        raise RequestError(f"the body has {values} JSON values, too many for photos; {_ROW_ADVICE}")
    try:
        request = json_text.loads(body)
    except ValueError as error:
        raise RequestError(f"the body is no JSON ({_short(error)}); {_ROW_ADVICE}") from None
    if not isinstance(request, dict):
        raise RequestError(f"the body is no JSON object; {_ROW_ADVICE}")
    signature = request.get("signature_name", DEFAULT)
    if not isinstance(signature, str) or signature not in signatures:
        raise RequestError(
            f"signature_name {_short(signature)} is none of this model's: {', '.join(signatures)}"
        )
    columnar = "inputs" in request
    if columnar == ("instances" in request):
        raise RequestError(f'give either "instances" or "inputs"; {_ROW_ADVICE}')
    rows = _columns(request["inputs"]) if columnar else request["instances"]
    if not isinstance(rows, list) or not rows:
        raise RequestError(f"there is no image in the request; {_ROW_ADVICE}")
    if len(rows) > max_instances:
        raise RequestError(
            f"{len(rows)} images in one request, of at most {max_instances}; send several", 413
        )
    rows = [row if isinstance(row, dict) and "b64" not in row else {_IMAGE: row} for row in rows]
    wanted = {_IMAGE, _K} if signature == TOP_K else {_IMAGE}
    for at, row in enumerate(rows):
        if set(row) != wanted:
            names = " and ".join(sorted(wanted, reverse=True))
            raise RequestError(f"image {at}: {signature} takes {names}, not {_short(sorted(row))}")
    images = tuple(_decoded(at, row[_IMAGE]) for at, row in enumerate(rows))
    top_k = tuple(_whole(at, row[_K]) for at, row in enumerate(rows)) if _K in wanted else ()
    return Predict(signature, images, top_k, columnar)


def _columns(inputs: Any) -> Any:
    """The rows of what is in columns."""
    if not isinstance(inputs, dict) or "b64" in inputs:
        inputs = {_IMAGE: inputs}
    lists = {name: _listed(column) for name, column in inputs.items()}
    if len({len(column) for column in lists.values()}) > 1:
        raise RequestError(f"the inputs {_short(sorted(lists))} are not equally long")
    names = list(lists)
    return [dict(zip(names, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _listed(column: Any) -> list:
    return column if isinstance(column, list) else [column]


def _decoded(at: int, value: Any) -> bytes:
    if not isinstance(value, dict) or set(value) != {"b64"} or not isinstance(value["b64"], str):
        raise RequestError(f'image {at} is no {{"b64": "..."}}; {_ROW_ADVICE}')
    try:
        text = value["b64"]
        if "\n" in text:  # Some encoders break lines.
            text = "".join(text.split())
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"image {at}: its b64 is no base64 ({_short(error)})") from None
    if not data:
        raise RequestError(f"image {at} is empty")
    return data


def _whole(at: int, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise RequestError(f"image {at}: k={_short(value)}; a whole number of at least 1 is needed")


def answer(request: Predict, outputs: Mapping[str, Sequence]) -> dict[str, Any]:
    """The JSON of an answer.

    Args:
        request: what was asked.
        outputs: by name, a value for each image.
    """
    if request.columnar:
        return {"outputs": dict(outputs)}
    names = list(outputs)
    rows = zip(*outputs.values(), strict=True)
    return {"predictions": [dict(zip(names, row, strict=True)) for row in rows]}


def top_classes(row: np.ndarray, class_names: Sequence[str], k: int) -> tuple[list, list]:
    """Names and probabilities of the k likeliest classes, the likeliest first."""
    order = np.argsort(-row, kind="stable")[:k]
    return [class_names[at] for at in order], numbers(row[order])


def numbers(array: np.ndarray) -> list:
    """Nested lists of the shortest decimals that are these float32."""
    return array.astype(str).astype(np.float64).tolist()


def status(version: str) -> dict[str, Any]:
    """Of a model that answers."""
    state = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": version, "state": "AVAILABLE", "status": state}]}


def metadata(name: str, version: str, signatures: Mapping[str, Mapping]) -> dict[str, Any]:
    """What a model takes and gives.

    Args:
        name: of the model.
        version: of the model.
        signatures: by name {"inputs" and "outputs": name -> (dtype, dimensions; -1: any)}.
    """
    described = {
        key: {
            **{side: {n: _tensor(n, *spec) for n, spec in one[side].items()} for side in one},
            "method_name": "tensorflow/serving/predict",
        }
        for key, one in signatures.items()
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": version},
        "metadata": {"signature_def": {"signature_def": described}},
    }


def _tensor(name: str, dtype: str, dimensions: Sequence[int]) -> dict[str, Any]:
    shape = {"dim": [{"size": str(size), "name": ""} for size in dimensions], "unknown_rank": False}
    return {"dtype": dtype, "tensor_shape": shape, "name": name}


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[:_MAX_SHOWN_CHARACTERS] + "..."
