"""parquet:PATTERN"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from ft import FtError, Remark, Sample
from ft_data.parquet import Settings, load
from packed import encoded, write_parquet

pytest.importorskip("pyarrow")
LABELS = ["cat", "dog"] * 5


def loaded(argument: str | Path, group: str | None = None, **settings: Any) -> list[Sample]:
    found = list(load(str(argument), Settings(**settings), group))
    return [each for each in found if not isinstance(each, Remark)]


@pytest.mark.parametrize("structs", [False, True], ids=["bytes", "Hugging Face"])
def test_images_of_all_row_groups_are_read_by_their_rows(structs: bool, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", LABELS, structs)
    samples = loaded(path)
    assert [sample.key for sample in samples][8:] == ["a.parquet:08", "a.parquet:09"]
    assert [sample.label for sample in samples] == LABELS
    for number in (9, 0, 5):
        assert pickle.loads(pickle.dumps(samples[number].open))() == encoded(number)


def test_classes_that_are_numbers_have_the_names_that_the_file_or_the_user_says(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = write_parquet(tmp_path / "a.parquet", [0, 1, 0])
    assert [sample.label for sample in loaded(path)] == ["0", "1", "0"]
    assert [sample.label for sample in loaded(path, classes=("cat", "dog"))] == ["cat", "dog", "cat"]
    with pytest.raises(FtError, match=r"a\.parquet:1 is of class 1, and names are there for those from 0 to 0"):
        loaded(path, classes=("cat",))
    info = {"info": {"features": {"label": {"names": ["oak", "elm"], "_type": "ClassLabel"}}}}
    table = pq.read_table(path).replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(table, path)
    assert [sample.label for sample in loaded(path)] == ["oak", "elm", "oak"]


def test_columns_are_named_or_known_by_usual_names(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", LABELS, scan=[b"x"] * 10, kind=list("abcdefghij"), owner=["p"] * 10)
    assert loaded(path, image_column="scan")[0].open() == b"x"  # type: ignore[misc]
    assert [sample.label for sample in loaded(path, label_column="kind")] == list("abcdefghij")
    assert {sample.group for sample in loaded(path, "owner")} == {"p"}
    with pytest.raises(FtError, match=r"has no column 'ownr', but image.*owner.*--split-group"):
        loaded(path, "ownr")
    with pytest.raises(FtError, match=r"has no column 'lable', but .*label.*--set data\.label_column=NAME"):
        loaded(path, label_column="lable")
    with pytest.raises(FtError, match=r"'kind' of .* is string, no encoded images"):
        loaded(path, image_column="kind")


def test_a_row_without_image_or_class_is_told_by_its_number(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ["cat", None])
    with pytest.raises(FtError, match=r"a\.parquet:1 has nothing in the column 'label'"):
        loaded(path)
    path = write_parquet(tmp_path / "b.parquet", ["cat", "dog"], scan=[None, b"x"])
    with pytest.raises(ValueError, match="the row has no image"):
        loaded(path, image_column="scan")[0].open()  # type: ignore[misc]


def test_a_table_that_changed_or_is_none_is_told(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", LABELS)
    first = loaded(path)[0]
    write_parquet(path, LABELS * 2)
    with pytest.raises(ValueError, match="has changed since its images were listed"):
        first.open()  # type: ignore[misc]
    path.write_bytes(b"no table")
    with pytest.raises(FtError, match=r"cannot read .*a\.parquet"):
        loaded(path)


def test_row_groups_that_are_large_are_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ft_data.parquet.LARGE", 100)
    path = write_parquet(tmp_path / "a.parquet", LABELS)
    (warning,) = [each for each in load(str(path), Settings()) if isinstance(each, Remark) and each.warns]
    assert "row_group_size=100" in warning.text


def test_what_is_to_be_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(FtError, match=r"pip install 'ftkit\[parquet\]'"):
        loaded(tmp_path)
