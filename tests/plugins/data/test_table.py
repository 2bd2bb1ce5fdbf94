"""csv:FILE"""

from __future__ import annotations

import codecs
import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from ft import FtError, Remark, Sample
from ft_data.table import Settings, load
from ft_data.table_format import DELIMITERS, find_delimiter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("1.png", "2.png", "images/3.png"):
        (tmp_path / name).touch()
    return tmp_path


def read(folder: Path, text: str | bytes, **settings: object) -> list[Sample]:
    table = folder / "labels.csv"
    table.write_bytes(text.encode() if isinstance(text, str) else text)
    return [each for each in everything(table, **settings) if isinstance(each, Sample)]


def everything(table: Path, **settings: object) -> list[Sample | Remark]:
    return list(load(str(table), Settings.model_validate(settings)))


def said(folder: Path, text: str | bytes, name: str = "labels.csv", **settings: object) -> list[str]:
    """The remarks; those that warn begin so."""
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    remarks = [each for each in everything(folder / name, **settings) if isinstance(each, Remark)]
    return [("warning: " if each.warns else "") + each.text.replace(f"{folder}/", "") for each in remarks]


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
    text = error(folder, "path,lable\n1.png,cat\n")
    assert "has no column 'label'; its first line names: path, lable. Did you mean 'lable'? " in text
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
        ("path,label\n1.png,\n", "1 image in"),
        ("path,label,label\n1.png,a,b\n", "several columns for the label: label, label"),
        ("path,class,category\n1.png,a,b\n", "several columns for the label: class, category"),
        ("path,label\n1.png,cat\n,cat\n", "line 3: the path is empty"),
        ("path,label\n1.png\n", "line 2: 1 values, but the header names 2 columns"),
        ("path,label,split\n1.png,cat,some\n", "line 2: 'some' is no split"),
        (b"path,label\n\xff.png,cat\n", "as a UTF-8 table"),
        ('path,label\n1.png,"cat\n', "as a table: unexpected end of data"),
        (codecs.BOM_UTF16_LE + b"p", "as a UTF-16 table"),
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


# How it is written


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(("delimiter", "name"), list(DELIMITERS.items()))
def test_encoding_and_delimiter_are_found_out_and_said(folder: Path, encoding: str, delimiter: str, name: str) -> None:
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding, b"")
    text = "path,label\r\n1.png,caf\u00e9\r\nimages/3.png,dog\r\n".replace(",", delimiter)
    written = mark + text.encode(encoding)
    assert [sample.label for sample in read(folder, written)] == ["caf\u00e9", "dog"]
    found = [encoding.upper()[:6]] * (not encoding.startswith("utf-8")) + [f"{name} between columns"] * (
        delimiter != ","
    )
    assert said(folder, written) == ([f"labels.csv is read with {', '.join(found)}"] if found else [])


def test_a_table_of_tabs_is_data_by_its_suffix(folder: Path) -> None:
    assert said(folder, "path\tlabel\n1.png\ta\n", "x.tsv") == ["x.tsv is read with tabs between columns"]


def test_a_delimiter_that_is_said_is_taken_and_not_remarked_on(folder: Path) -> None:
    assert said(folder, "path;label\n1.png;a,b\n", delimiter=";") == []
    assert said(folder, "sep=;\r\npath;label\r\n1.png;a\r\n") == []
    assert "line 3" in error(folder, "sep=;\r\npath;label\r\n1.png\r\n")


def test_lines_of_delimiters_only_are_blank(folder: Path) -> None:
    assert len(read(folder, "path;label;\n1.png;cat;\n;;\n2.png;dog;\n;;\n")) == 2


cells = st.text('ab,;|\t"\n\r ', max_size=6)


@given(
    st.sampled_from(list(DELIMITERS)), st.lists(st.tuples(cells, cells), max_size=8), st.sampled_from(["\n", "\r\n"])
)
def test_the_delimiter_of_a_table_that_csv_writes_is_found(
    delimiter: str, rows: list[tuple[str, str]], end: str
) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(
        [("path", "label"), *rows]
    )
    assert find_delimiter(text.getvalue()) == delimiter


@pytest.mark.parametrize(
    ("header", "remark"),
    [
        ("filename,class", "'filename' as path, 'class' as label"),
        ("Image_Path, Category", "'Image_Path' as path, 'Category' as label"),
        ("Path,LABEL", "'Path' as path, 'LABEL' as label"),
        ("path,target", "'target' as label"),
    ],
)
def test_columns_of_usual_names_are_taken_and_said(folder: Path, header: str, remark: str) -> None:
    text = f"{header}\n1.png,cat\n"
    assert read(folder, text) == [Sample(folder / "1.png", "cat")]
    assert said(folder, text) == [f"labels.csv is read with {remark}"]


# What it says


def test_missing_labels_are_named_and_can_be_left_out(folder: Path) -> None:
    text = "path,label\n1.png,nan\n2.png,dog\nimages/3.png,\n1.png,N/A\n"
    told = error(folder, text)
    assert told.startswith(
        f"3 images in {folder / 'labels.csv'} have no label:\n  line 2: 1.png, 'nan'\n  line 4: images/3"
    )
    assert "--set data.unlabelled=skip" in told
    assert [sample.label for sample in read(folder, text, unlabelled="skip")] == ["dog"]
    assert said(folder, text, unlabelled="skip") == ["3 images left out, whose label is missing, as in line 2"]


def test_what_says_that_a_label_is_missing_can_be_said(folder: Path) -> None:
    assert [s.label for s in read(folder, "path,label\n1.png,NA\n2.png,None\n", missing=[])] == ["NA", "None"]
    assert "2.png, '?'" in error(folder, "path,label\n1.png,NA\n2.png,?\n", missing=["?"])


def test_paths_of_another_system_and_of_home_are_understood(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "images"))
    text = "path,label\nimages\\3.png,a\n~/3.png,b\n 1.png ,c\n"
    assert [s.path for s in read(folder, text)] == [folder / "images/3.png", folder / "images/3.png", folder / "1.png"]
    assert said(folder, text) == ["1 path in labels.csv is read with / in place of \\, as images\\3.png"]


def test_a_name_as_it_is_written_goes_first(folder: Path) -> None:
    for name in ("images\\3.png", " 1.png", "~"):
        (folder / name).touch()
    text = "path,label\nimages\\3.png,a\n 1.png,b\n~,c\n"
    assert [str(s.path.relative_to(folder)) for s in read(folder, text) if s.path] == ["images\\3.png", " 1.png", "~"]
    assert said(folder, text) == []


def test_a_name_that_is_no_utf8_is_found_as_ft_spells_it(folder: Path) -> None:
    odd = folder / os.fsdecode(b"caf\xe9 \xff.png")
    odd.touch()
    assert [s.path for s in read(folder, "path,label\ncaf\\xe9 \\xff.png,a\n")] == [odd]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("3.png", "images/3.png is there: --set data.root=images"),
        ("1", "1.png is there: paths need their suffix"),
        ("x" * 5000, "does not exist"),
        ("https://example.org/1.png", "ft reads files on this machine"),
    ],
)
def test_where_a_missing_image_may_be_is_said(folder: Path, path: str, hint: str) -> None:
    assert hint in error(folder, f"path,label\n{path},cat\n")


def test_columns_that_are_classes_are_told_from_a_column_of_classes(folder: Path) -> None:
    text = "path,cat,dog,size\n1.png,1,0,3\n2.png,0,1,4\n"
    told = error(folder, text)
    assert "The columns cat, dog hold 0 and 1: if each is a label, say so with --task multilabel and --set " in told
    assert "'data.columns=[cat, dog]'" in told


# Several columns, several labels


def test_several_columns_are_a_mapping_for_each_image_and_no_label_column_is_needed(folder: Path) -> None:
    text = "path,b,other,a\n1.png, 1 ,x,0\n2.png,,x,N/A\nimages/3.png,0,x,\n"
    samples = read(folder, text, columns=["a", "b"], unlabelled="keep")
    assert [list(s.label.items()) for s in samples if not isinstance(s.label, str)] == [
        [("a", "0"), ("b", "1")],
        [("a", ""), ("b", "")],
        [("a", ""), ("b", "0")],
    ]
    assert error(folder, text, columns=["a", "b"]).splitlines()[1] == "  line 3: 2.png"
    assert len(read(folder, text, columns=["a", "b"], unlabelled="skip")) == 2


def test_a_column_that_is_not_there_or_twice_is_an_error(folder: Path) -> None:
    text = error(folder, "path,width,size,size\n1.png,1,2,3\n", columns=["with"])
    assert "has no column 'with', which data.columns names; its first line names: path, width, size, size." in text
    assert "Did you mean 'width'?" in text
    assert "several columns 'size'" in error(folder, "path,width,size,size\n1.png,1,2,3\n", columns=["size"])
    both = error(folder, "path,a,label\n1.png,1,2\n", columns=["a"], label_column="label")
    assert "data.columns and data.label_column both say where labels are" in both


def test_an_empty_cell_means_none_where_labels_are_several_in_one(folder: Path) -> None:
    text = "path,label\n1.png,a;b\n2.png,\nimages/3.png,a\n"
    assert [sample.label for sample in read(folder, text)] == ["a;b", "", "a"]
    assert [sample.label for sample in read(folder, text, unlabelled="skip")] == ["a;b", "a"]
    assert "line 3: 2.png, ''" in error(folder, text, unlabelled="fail")
    assert "line 3: 2.png, 'nan'" in error(folder, text.replace("2.png,", "2.png,nan"))
    single = text.replace("a;b", "b")
    assert "data.unlabelled=keep that such an image has none of several labels" in error(folder, single)
    assert [sample.label for sample in read(folder, single, unlabelled="keep")] == ["b", "", "a"]


def test_a_pipe_or_a_device_in_place_of_a_table_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(FtError, match=r"cannot read .*labels.csv: it is a pipe, not a plain file"):
        everything(tmp_path / "labels.csv")
    with pytest.raises(FtError, match=r"cannot read /dev/zero: it is a device, not a plain file"):
        everything(Path("/dev/zero"))


def test_a_table_that_would_fill_memory_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "labels.csv").open("wb") as file:
        file.truncate(10**9 + 1)
    with pytest.raises(FtError, match="it is larger than 1000 MB, the most that is read of it"):
        everything(tmp_path / "labels.csv")


GROUPED = "path,label,Patient id\n1.png,cat,p1\n2.png,dog, p2 \nimages/3.png,dog,p1\n"


def test_a_column_to_group_by_gives_each_sample_its_group(folder: Path) -> None:
    (folder / "labels.csv").write_text(GROUPED)
    samples = list(load(str(folder / "labels.csv"), Settings(), group="Patient id"))
    assert [each.group for each in samples if isinstance(each, Sample)] == ["p1", "p2", "p1"]
    assert {each.group for each in read(folder, GROUPED)} == {None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            GROUPED.replace("Patient id", "person"),
            "has no column 'Patient id'; its first line names: path, label, person. Say which column it is with "
            "--split-group",
        ),
        (
            GROUPED.replace("p1", "n/a"),
            "2 images in {0} have nothing in the column 'Patient id' to group by:\n  line 2: 1.png, 'n/a'\n"
            "  line 4: images/3.png, 'n/a'\nWrite what it belongs to",
        ),
    ],
)
def test_a_column_to_group_by_is_there_and_full(folder: Path, text: str, message: str) -> None:
    table = folder / "labels.csv"
    table.write_text(text)
    with pytest.raises(FtError) as raised:
        list(load(str(table), Settings(), group="Patient id"))
    assert message.format(table) in str(raised.value)
