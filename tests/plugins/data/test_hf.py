"""hf:NAME, of folders: no test asks the hub."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ft import FtError, Remark, Sample
from ft.data.source_cache import SourceFolder
from ft_data.hf import Settings, load
from packed import encoded

pytestmark = pytest.mark.slow


def loaded(argument: str | Path, tmp_path: Path, group: str | None = None, **settings: Any) -> list[Sample]:
    found = list(load(str(argument), Settings(**settings), SourceFolder(tmp_path / "cache", "FT_OFFLINE=1"), group))
    return [each for each in found if not isinstance(each, Remark)]


def dataset(labels: Sequence[Any], first: int = 0) -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "owner": datasets.Value("string"),
        }
    )
    images = [{"bytes": encoded(first + number), "path": None} for number in range(len(labels))]
    owners = [f"p{number // 2}" for number in range(len(labels))]
    return datasets.Dataset.from_dict({"image": images, "label": labels, "owner": owners}, features=features)


def test_a_saved_data_set_is_read_by_rows_with_the_names_of_its_classes(tmp_path: Path) -> None:
    dataset([0, 1] * 6).save_to_disk(tmp_path / "saved")
    samples = loaded(tmp_path / "saved", tmp_path, "owner")
    assert [sample.label for sample in samples] == ["cat", "dog"] * 6
    assert [sample.key for sample in samples][9:11] == ["all:09", "all:10"]
    assert samples[3].group == "p1"
    for number in (11, 0):
        assert pickle.loads(pickle.dumps(samples[number].open))() == encoded(number)


def test_splits_are_those_of_the_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    parts = {"train": dataset([0, 1]), "validation": dataset([1], 2), "test": dataset([0], 3)}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    samples = loaded(tmp_path / "saved", tmp_path)
    assert [sample.split for sample in samples] == ["train", "train", "val", "test"]


def test_mistakes_are_told(tmp_path: Path) -> None:
    dataset([0, 1]).save_to_disk(tmp_path / "saved")
    with pytest.raises(FtError, match=r"has no column 'lable', but image, label, owner.*data\.label_column=NAME"):
        loaded(tmp_path / "saved", tmp_path, label_column="lable")
    with pytest.raises(FtError, match=r"there is no folder \./nope"):
        loaded("./nope", tmp_path)
    with pytest.raises(FtError, match=r"which data set\? Write hf:OWNER/NAME"):
        loaded("", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FtError, match=r"cannot load the data set .*empty"):
        loaded(tmp_path / "empty", tmp_path)


def test_what_is_to_be_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(FtError, match=r"pip install 'ftkit\[datasets\]'"):
        loaded(tmp_path, tmp_path)
