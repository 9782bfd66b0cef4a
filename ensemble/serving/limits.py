"""What one request, and all of them together, may ask of the server."""

from dataclasses import dataclass

BYTES_PER_MB = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Bounds; what exceeds them is refused in one line.

    Attributes:
        max_body_mb: of a request.
        max_pixels: of one image, as stored.
        max_instances: images in a request.
        max_requests: that are read or answered at once; beyond them the server is busy.
        timeout_seconds: for a request's body to arrive.
        max_batch: images that the model sees at once.
        max_wait_ms: that an image waits for others.
    """

    max_body_mb: int = 32
    max_pixels: int = 50_000_000
    max_instances: int = 64
    max_requests: int = 64
    timeout_seconds: float = 30.0
    max_batch: int = 32
    max_wait_ms: float = 2.0

    @property
    def max_body_bytes(self) -> int:
        """Of a request."""
        return self.max_body_mb * BYTES_PER_MB
