"""Reading JSON that may be anything: what cannot be read is a ValueError, however it fails."""

import json
from typing import Any


def loads(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, or nested deeper than Python reads ("[[[[...").
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from error
