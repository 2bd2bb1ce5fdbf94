"""Rows in a file are what safetensors reads, and reading some makes none of the file the process's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ft.cache.rows import Rows, Shape, header, map_rows
from memory_maps import needs_maps

ROWS = 64
SHAPES = [Shape((16, 1024), "float32"), Shape((3,), "bfloat16"), Shape((), "int64")]


@pytest.fixture
def tensors() -> tuple[torch.Tensor, ...]:
    return torch.randn(ROWS, 16, 1024), torch.randn(ROWS, 3).bfloat16(), torch.arange(ROWS)


@pytest.fixture
def path(tmp_path: Path, tensors: tuple[torch.Tensor, ...]) -> Path:
    path = tmp_path / "rows.safetensors"
    content = b"".join(tensor.view(ROWS, -1).view(torch.uint8).numpy().tobytes() for tensor in tensors)
    path.write_bytes(header(SHAPES, ROWS) + content)
    return path


def rows_in(path: Path) -> Rows:
    with path.open("rb") as file:
        return map_rows(file, SHAPES, ROWS)


def test_a_file_of_rows_is_one_that_safetensors_reads(path: Path, tensors: tuple[torch.Tensor, ...]) -> None:
    for found in (tuple(load_file(path).values()), rows_in(path).tensors, rows_in(path).in_memory().tensors):
        assert all(map(torch.equal, found, tensors))
        assert [tensor.dtype for tensor in found] == [tensor.dtype for tensor in tensors]


@pytest.mark.parametrize("rows", [[5, 0, 5], torch.tensor([63]), torch.arange(2, 7)], ids=["some", "last", "a span"])
def test_rows_are_taken_by_their_numbers(
    path: Path, tensors: tuple[torch.Tensor, ...], rows: list[int] | torch.Tensor
) -> None:
    for kept in (rows_in(path), Rows(tensors)):
        taken = kept.take(rows)
        assert all(torch.equal(one, tensor[rows]) for one, tensor in zip(taken, tensors, strict=True))
        taken[0].zero_()
        assert torch.equal(kept.tensors[0], tensors[0])


def resident_kb(path: Path) -> int:
    """How much of a mapped file lies in memory as this process's."""
    _, _, entry = Path("/proc/self/smaps").read_text().partition(f"{path}\n")
    found = re.search(r"^Rss: +([0-9]+) kB", entry, re.MULTILINE)
    assert found is not None
    return int(found[1])


@needs_maps
def test_what_was_taken_from_a_file_is_let_go(path: Path, tensors: tuple[torch.Tensor, ...]) -> None:
    kept = rows_in(path)
    assert torch.equal(kept.tensors[0], tensors[0])
    assert resident_kb(path) >= 4000
    kept.take([3])
    assert resident_kb(path) < 200
    assert torch.equal(kept.tensors[0], tensors[0])
