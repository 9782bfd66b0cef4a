"""What the server does to requests: latency, refusals and injected faults, all by seed."""

import dataclasses
import random
import re
import threading
from collections import Counter

FAULT_KINDS = ("429", "503", "reset", "lost_response", "truncate", "corrupt")
_MEDIA_OPERATIONS = ("download", "upload")


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How the server treats requests whose `operation bucket/object` matches `match`.

    Attributes:
        latency_ms: waited before every request, matching or not.
        fault_rate: share of the matching requests that fail.
        fault_seed: the n-th request of one operation on one object meets the same fate under the
            same seed, in whatever order concurrent requests arrive.
        fault_kinds: "429", "503"; "reset" (the connection, before the request is carried out);
            "lost_response" (after it was carried out); "truncate" (half of the response body);
            "corrupt" (one byte of an object's content, on its way up or down).
        fault_limit: stop injecting after so many faults; None: never.
        deny_status: answer every matching request with this status (401, 403, 404); 0: none.
        token: demand this bearer token (401 without it) and hand it out at the token endpoint.
        match: regular expression, searched in texts like `upload bucket/shards/a-00000-of-00002`.
        hold_after_uploads: let so many requests that bring content in, then hold all that follow
            until the conditions change; they are never carried out. None: hold nothing.
    """

    latency_ms: float = 0.0
    fault_rate: float = 0.0
    fault_seed: int = 0
    fault_kinds: tuple[str, ...] = FAULT_KINDS
    fault_limit: int | None = None
    deny_status: int = 0
    token: str = ""
    match: str = ""
    hold_after_uploads: int | None = None

    def __post_init__(self):
        unknown = set(self.fault_kinds) - set(FAULT_KINDS)
        if unknown:
            raise ValueError(f"unknown fault kinds {sorted(unknown)}; there are {FAULT_KINDS}")

    def matches(self, operation: str, path: str) -> bool:
        """True if deny_status and faults apply to this operation on `bucket/object`."""
        return re.search(self.match, f"{operation} {path}") is not None


class FaultDice:
    """Draws each request's fate; one per set of Conditions, shared by all threads."""

    def __init__(self, conditions: Conditions):
        self._conditions = conditions
        self._seen = Counter()
        self._injected = 0
        self._lock = threading.Lock()

    def draw(self, operation: str, path: str) -> tuple[str, random.Random]:
        """The fault to inject ("" for none), and a generator for its details."""
        conditions = self._conditions
        with self._lock:
            attempt = self._seen[operation, path]
            self._seen[operation, path] += 1
            generator = random.Random(f"{conditions.fault_seed} {operation} {path} {attempt}")
            if not conditions.matches(operation, path):
                return "", generator
            if generator.random() >= conditions.fault_rate:
                return "", generator
            if self._injected == conditions.fault_limit:
                return "", generator
            kinds = [
                kind
                for kind in conditions.fault_kinds
                if kind != "corrupt" or operation in _MEDIA_OPERATIONS
            ]
            if not kinds:
                return "", generator
            self._injected += 1
            return generator.choice(kinds), generator


class Gate:
    """Lets a number of uploads through and holds the rest: a client can be killed at that point."""

    def __init__(self, num_admitted: int | None):
        self._left = num_admitted
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self.num_held = 0

    def admits(self) -> bool:
        """True at once while any are left to admit; else False, when the gate is opened."""
        with self._lock:
            if self._left is None:
                return True
            if self._left > 0:
                self._left -= 1
                return True
            self.num_held += 1
        self._opened.wait()
        return False

    def open(self) -> None:
        """Turn away all that are held."""
        self._opened.set()


def flip_byte(data: bytes, generator: random.Random) -> bytes:
    """`data` with one byte changed; empty data stays empty."""
    if not data:
        return data
    position = generator.randrange(len(data))
    changed = bytearray(data)
    changed[position] ^= 1 << generator.randrange(8)
    return bytes(changed)
