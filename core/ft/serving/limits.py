"""What one request may cost, and how many may wait."""

from __future__ import annotations

from dataclasses import dataclass

from ft.errors import FtError


@dataclass(frozen=True)
class Limits:
    """Bytes of one file and of one request, pixels of one image, images of one request, images that may be in the
    service at once, and seconds that a request may take from its first byte to its answer.

    Raises FtError for limits that no request could keep.
    """

    file_bytes: int = 20_000_000
    body_bytes: int = 100_000_000
    pixels: int = 50_000_000
    images: int = 64
    waiting: int = 256
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.images > self.waiting:
            raise FtError(
                f"a request of {self.images} images would never find room where {self.waiting} may wait; give a larger "
                "--max-waiting, or a smaller --max-images"
            )
        if self.file_bytes > self.body_bytes:
            raise FtError("one file may not have more bytes than a whole request; give a larger --max-request-mb")


@dataclass(frozen=True)
class Batching:
    """How many images the network is given at once, at most, and for how many seconds the first of them waits for
    others that are on their way."""

    size: int = 32
    wait: float = 0.005
