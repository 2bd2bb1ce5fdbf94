"""elpv"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ft_elpv.cells import Settings, load

from ft import FtError, Label
from ft.testing import DataConformance

LINES = """\
images/cell0001.png  1.0                 mono
images/cell0002.png  0.0                 mono
images/cell0003.png  0.3333333333333333  poly
images/cell0004.png  0.6666666666666666  poly
"""


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "elpv_dataset" / "data"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "labels.csv").write_text(LINES)
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def labels(**settings: object) -> list[Label]:
    return [sample.label for sample in load(None, Settings.model_validate(settings))]


def test_cells_have_their_label_by_threshold(cells: Path) -> None:
    assert labels() == ["defective", "functional", "functional", "defective"]
    assert labels(threshold=0.3) == ["defective", "functional", "defective", "defective"]
    assert [sample.path.name for sample in load(None, Settings())] == [f"cell000{n}.png" for n in (1, 2, 3, 4)]


def test_one_type_of_cell_can_be_chosen(cells: Path) -> None:
    assert labels(type="mono") == ["defective", "functional"]
    assert labels(type="poly") == ["functional", "defective"]


def test_a_cell_has_the_label_of_each_task(cells: Path) -> None:
    assert labels(label="type") == ["mono", "mono", "poly", "poly"]
    assert [float(str(each)) for each in labels(label="probability")] == pytest.approx([1, 0, 1 / 3, 2 / 3])
    both = labels(label="both")
    assert both[0] == {"defective": "1", "monocrystalline": "1"}
    assert both[2] == {"defective": "0", "monocrystalline": "0"}


def test_an_argument_is_an_error(cells: Path) -> None:
    with pytest.raises(FtError, match="elpv takes no argument"):
        list(load("mono", Settings()))


def test_without_the_photographs_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ft_elpv.cells.find_spec", lambda *_: None)
    with pytest.raises(FtError, match="pip install elpv-dataset"):
        list(load(None, Settings()))


@pytest.mark.skipif(find_spec("elpv_dataset") is None, reason="needs the package elpv-dataset")
class TestConformance(DataConformance):
    component = "data:elpv"
    settings = ({}, {"type": "poly", "threshold": 0.3, "label": "both"})


@pytest.mark.skipif(find_spec("elpv_dataset") is None, reason="needs the package elpv-dataset")
def test_the_real_photographs_are_all_there() -> None:
    samples = list(load(None, Settings()))
    assert Counter(sample.label for sample in samples) == {"defective": 821, "functional": 1803}
    assert all(sample.path is not None and sample.path.is_file() for sample in samples)


def test_ft_finds_it_by_its_entry_point(ft_cli: Callable[..., Any]) -> None:
    assert "ft-elpv " in ft_cli("describe", "data:elpv").stdout
