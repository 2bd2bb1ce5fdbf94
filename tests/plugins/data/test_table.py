"""csv:FILE"""

from __future__ import annotations

from pathlib import Path

import pytest

from ft import FtError, Sample
from ft_data.table import Settings, load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("1.png", "2.png", "images/3.png"):
        (tmp_path / name).touch()
    return tmp_path


def read(folder: Path, text: str | bytes, **settings: object) -> list[Sample]:
    table = folder / "labels.csv"
    table.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(load(str(table), Settings.model_validate(settings)))


def error(folder: Path, text: str | bytes, **settings: object) -> str:
    with pytest.raises(FtError) as raised:
        read(folder, text, **settings)
    return str(raised.value)


def test_lines_become_samples_with_paths_relative_to_the_table(folder: Path) -> None:
    assert read(folder, "path,label\n1.png,cat\nimages/3.png,dog\n") == [
        Sample(folder / "1.png", "cat"),
        Sample(folder / "images/3.png", "dog"),
    ]


def test_a_split_column_is_used_and_may_be_empty(folder: Path) -> None:
    text = "label,split,path\ncat,Train,1.png\ncat,valid,2.png\ndog,,images/3.png\n"
    assert [sample.split for sample in read(folder, text)] == ["train", "val", None]


def test_columns_delimiter_and_root_can_be_said(folder: Path) -> None:
    text = "file;kind;part;extra\n3.png;a;b;c\n".replace(";b;", ";test;")
    settings = {"path_column": "file", "label_column": "kind", "split_column": "part", "delimiter": ";"}
    assert read(folder, text, root="images", **settings) == [Sample(folder / "images/3.png", "a", "test")]


def test_what_spreadsheets_write_is_read(folder: Path) -> None:
    assert read(folder, '\ufeffpath,label\r\n1.png,"cat, tabby"\r\n\r\n') == [Sample(folder / "1.png", "cat, tabby")]


def test_an_unknown_column_is_told_with_the_nearest(folder: Path) -> None:
    text = error(folder, "path,labels\n1.png,cat\n")
    assert "has no column 'label'; its first line names: path, labels; did you mean 'labels'?" in text
    assert "--set data.label_column=NAME" in text
    assert "has no column 'part'" in error(folder, "path,label\n1.png,cat\n", split_column="part")
    assert "has no column 'path'; its first line names: 1.png, cat" in error(folder, "1.png,cat\n")


def test_images_that_do_not_exist_are_all_listed(folder: Path) -> None:
    text = error(folder, "path,label\n" + "".join(f"gone{number}.png,a\n" for number in range(23)) + "1.png,a\n")
    assert text.startswith("23 of the 24 images in")
    assert str(folder / "gone0.png") in text
    assert "... and 3 more" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names: nothing"),
        ("path,label\n", "no line below its header"),
        ("path,label\n1.png,\n", "line 2: the label is empty"),
        ("path,label\n1.png,cat\n,cat\n", "line 3: the path is empty"),
        ("path,label\n1.png\n", "line 2: 1 values, but the header names 2 columns"),
        ("path,label,split\n1.png,cat,dev\n", "line 2: 'dev' is no split"),
        (b"path,label\n\xff.png,cat\n", "as a UTF-8 table"),
        ('path,label\n1.png,"cat\n', "as a UTF-8 table: unexpected end of data"),
    ],
)
def test_a_table_that_cannot_be_meant_is_an_error_with_its_line(folder: Path, text: str | bytes, message: str) -> None:
    assert message in error(folder, text)


def test_a_missing_table_is_told_with_the_nearest(folder: Path) -> None:
    (folder / "labels.csv").touch()
    with pytest.raises(FtError, match=r"there is no file .*label\.csv; did you mean 'labels\.csv'"):
        list(load(str(folder / "label.csv"), Settings()))
    with pytest.raises(FtError, match=r"which table\? Write csv:FILE"):
        list(load(None, Settings()))
