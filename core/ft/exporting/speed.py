"""How long a model takes for one image and for a batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 16
SECONDS, MOST, FEWEST = 0.5, 50, 3
"""For so long a model is asked again, so many times at most, and at least."""


def seconds_for(compute: Callable[[Any], Any], image: NDArray[np.uint8]) -> tuple[float, float]:
    """The medians for an image [H, W, 3], and for a batch of the same."""
    return _median(compute, image[None]), _median(compute, np.stack([image] * BATCH))


def _median(compute: Callable[[Any], Any], images: NDArray[np.uint8]) -> float:
    compute(images)  # the first time, memory is taken
    took: list[float] = []
    began = time.perf_counter()
    while len(took) < FEWEST or (len(took) < MOST and time.perf_counter() - began < SECONDS):
        start = time.perf_counter()
        compute(images)
        took.append(time.perf_counter() - start)
    return statistics.median(took)
