"""What a model answers to the images that it is measured on, as a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ft.run.outputs import NAME, read_outputs, write_outputs, writing_outputs

SHAPES = {"val": (5, 3), "test": (2, 3)}


def test_outputs_that_come_in_batches_are_read_while_they_are_written_and_afterwards(tmp_path: Path) -> None:
    val, test = torch.randn(5, 3), torch.randn(2, 3)
    with writing_outputs(tmp_path, SHAPES) as writing:
        writing.take("val", val.split(2))
        early = writing["val"]
        assert torch.equal(early, val)
        assert not (tmp_path / NAME).exists()
        writing.take("test", [test])
        late = writing["test"]
    kept = read_outputs(tmp_path)
    assert kept.keys() == {"val", "test"}
    assert torch.equal(kept["val"], val)
    assert torch.equal(kept["test"], test)
    assert torch.equal(early, val)
    assert torch.equal(late, test)


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    write_outputs(tmp_path, {"val": torch.ones(2, 3)})

    def lost() -> Iterator[torch.Tensor]:
        yield torch.zeros(4, 3)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"), writing_outputs(tmp_path, SHAPES) as writing:
        writing.take("val", lost())
    assert read_outputs(tmp_path)["val"].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(("images", "outputs"), [(0, 3), (1, 1), (3, 7)])
def test_any_number_of_images_and_outputs(images: int, outputs: int, tmp_path: Path) -> None:
    made = {"val": torch.randn(images, outputs), "test": torch.randn(images, outputs)}
    write_outputs(tmp_path, made)
    kept = read_outputs(tmp_path)
    assert kept.keys() == made.keys()
    assert all(torch.equal(kept[name], made[name]) for name in made)
