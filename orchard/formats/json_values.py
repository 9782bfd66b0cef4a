"""Values as JSON has them."""

import json
from typing import Any


def json_safe(value: Any) -> Any:
    """`value` with NaN and infinities as null, which JSON lacks."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)
