"""What Prometheus reads: how many requests, how long they took, how full batches are."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one server.

    Args:
        waiting: how many images wait for a batch now.
    """

    def __init__(self, waiting: Callable[[], int]):
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "orchard_requests",
            "Requests for predictions that were answered, by HTTP status.",
            ["status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "orchard_request_seconds",
            "From a request's first byte to its answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "orchard_requests_in_flight", "Requests being answered.", registry=self._registry
        )
        self._batches = Histogram(
            "orchard_batch_images",
            "Images that the model saw at once.",
            buckets=_BATCH_SIZES,
            registry=self._registry,
        )
        queue = Gauge("orchard_waiting_images", "Images in the queue.", registry=self._registry)
        queue.set_function(waiting)

    @contextmanager
    def request(self) -> Iterator[None]:
        """A request in flight."""
        started = time.monotonic()
        self._in_flight.inc()
        try:
            yield
        finally:
            self._in_flight.dec()
            self._seconds.observe(time.monotonic() - started)

    def answered(self, status: int) -> None:
        """A request was answered."""
        self._requests.labels(str(status)).inc()

    def batch(self, size: int) -> None:
        """The model saw so many images at once."""
        self._batches.observe(size)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
