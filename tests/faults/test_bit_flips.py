"""A flipped bit in a cached weight file is seen before anything is loaded, whether or not a digest was published."""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from faults.repetitions import times
from ft import FtError, WeightEntry
from ft.weights.cache import Cache


def _saved(kind: str) -> bytes:
    tensors = {"weight": torch.randn(3000, generator=torch.Generator().manual_seed(0))}
    if kind == "safetensors":
        return save(tensors)
    buffer = io.BytesIO()
    torch.save(tensors, buffer, _use_new_zipfile_serialization=kind == "zip")
    return buffer.getvalue()


@pytest.mark.parametrize("published", [True, False], ids=["digest published", "no digest published"])
@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_every_flipped_bit_is_seen(tmp_path: Path, kind: str, published: bool) -> None:
    good, rng = _saved(kind), random.Random(f"{kind}{published}")
    entry = WeightEntry("V1", f"net.{kind}", sha256=hashlib.sha256(good).hexdigest()[:8] if published else "")
    path = tmp_path / "checkpoints" / entry.file_name
    path.parent.mkdir()
    path.write_bytes(good)

    def look() -> Path | None:
        return Cache(path.parent, tmp_path / "records").find(entry)

    assert look() == path
    number = times(167, 7)
    for _ in range(number):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(FtError, match=entry.file_name):
            look()
    print(f"\n{number} of {number} flipped bits seen ({kind}, published digest: {published})")
    path.write_bytes(good)
    assert look() == path
