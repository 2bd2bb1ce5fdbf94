from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from ft.errors import FtError
from ft.inference.asked_images import asked_pictures, image_paths


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.jpg", "notes.txt", ".hidden/c.png", "deep/d.webp", "deep/er/e.jpg", "[1].png", "*/f.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    Path("empty").mkdir()
    return tmp_path


def asked(*given: str, stdin: bytes = b"") -> list[str]:
    return [str(path) for path in image_paths(given, lambda: stdin)]


def test_a_file_is_taken_and_of_a_folder_the_images(here: Path) -> None:
    assert asked("deep") == ["deep/d.webp", "deep/er/e.jpg"]
    assert asked("notes.txt", "b.png", "b.png") == ["notes.txt", "b.png", "b.png"]


def test_a_pattern_is_the_images_that_match_each_once(here: Path) -> None:
    assert asked("*.jpg") == ["a.jpg"]
    assert asked("**/*.jpg") == ["a.jpg", "deep/er/e.jpg"]
    assert asked("dee?/**") == ["deep/d.webp", "deep/er/e.jpg"]
    assert asked("d*") == ["deep/d.webp", "deep/er/e.jpg"]
    assert asked("[ab]*") == ["a.jpg", "b.png"]


def test_what_is_there_is_no_pattern(here: Path) -> None:
    assert asked("[1].png", "*") == ["[1].png", "*/f.png"]


def test_paths_come_on_standard_input_in_lines_or_with_a_nul_behind_each(here: Path) -> None:
    assert asked("-", stdin=b"b.png\r\n\nnope.png\ndeep\n") == ["b.png", "nope.png", "deep/d.webp", "deep/er/e.jpg"]
    assert asked("-", stdin=b"two\nlines.png\0caf\xe9.png\0") == ["two\nlines.png", os.fsdecode(b"caf\xe9.png")]
    assert asked("b.png", "-", stdin=b" [x].png ") == ["b.png", " [x].png "]


@given(
    st.lists(st.text(st.characters(blacklist_characters="\0", codec="utf-8"), min_size=1).map(lambda n: f"/nope/{n}"))
)
def test_any_name_goes_through_standard_input(names: list[str]) -> None:
    stdin = b"".join(os.fsencode(name) + b"\0" for name in [*names, "/nope/x"])
    assert asked("-", stdin=stdin) == [str(Path(name)) for name in [*names, "/nope/x"]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nope.png", r"there is no image nope\.png"),
        ("*.gif", r"no image matches '\*\.gif'"),
        ("notes*", r"no image matches 'notes\*'"),
        ("empty", "there are no images in empty"),
        ("-", "standard input names no image; give one path a line"),
        ("", "an image has no name"),
        ("https://a.org/x.png", r"'https://a\.org/x\.png' is an address.*; fetch it first, then name the file"),
        ("s3://bucket/x*.png", "is an address"),
        ("FILE:///tmp/x.png", "give its path without file://"),
    ],
)
def test_what_is_not_there_is_said_before_anything_is_read(here: Path, given: str, said: str) -> None:
    with pytest.raises(FtError, match=said):
        asked("b.png", given)


def test_an_address_on_standard_input_is_refused_too(here: Path) -> None:
    with pytest.raises(FtError, match="fetch it first"):
        asked("-", stdin=b"b.png\nhttp://a.org/x.png\n")


@pytest.fixture
def packed(here: Path) -> Path:
    with tarfile.open("a.tar", "w") as archive:
        for name in ("b.png", "deep/d.webp", "notes.txt"):
            archive.add(name)
    return here


def named(*given: str, stdin: bytes = b"") -> list[str]:
    return [picture.name for picture in asked_pictures(given, lambda: stdin)]


def test_an_archive_is_the_images_in_it_wherever_it_is_named(packed: Path) -> None:
    inside = ["a.tar:b.png", "a.tar:deep/d.webp"]
    assert named("a.tar") == named("*.tar") == named("-", stdin=b"a.tar\n") == inside
    assert named("a.tar", "a.tar") == [*inside, *inside]
    assert named("a.tar:deep/d.webp") == inside[1:]
    assert named("-", stdin=b"a.tar:b.png\na.tar:nope.png\n") == ["a.tar:b.png", "a.tar:nope.png"]
    with pytest.raises(FtError, match=r"there is no image a\.tar:nope\.png"):
        named("a.tar:nope.png")
    with pytest.raises(FtError, match=r"a\.tar:b\.png is in an archive, out of which only ft predict takes images"):
        asked("a.tar")


def test_an_archive_without_images_is_named(packed: Path) -> None:
    with tarfile.open("none.tar", "w") as archive:
        archive.add("notes.txt")
    with pytest.raises(FtError, match=r"there are no images in none\.tar"):
        named("none.tar")


@pytest.mark.parametrize(
    "text",
    [
        "path,label\n../b.png,x\n../nope.png,y\n\n../deep/d.webp,z\n",
        "label;Image Path\nx;../b.png\ny;../nope.png\nz;../deep/d.webp\n",
        '\ufefflabel\tfile_name\r\nx\t"../b.png"\r\ny\t../nope.png\r\nz\t../deep/d.webp\r\n',
    ],
)
def test_a_table_is_what_its_column_of_paths_names_relative_to_its_folder(text: str, packed: Path) -> None:
    Path("lists").mkdir()
    Path("lists/t.csv").write_text(text, newline="")
    assert named("lists/t.csv") == ["lists/../b.png", "../nope.png", "lists/../deep/d.webp"]


def test_what_ft_predict_wrote_is_a_table_of_what_it_was_asked_about(packed: Path) -> None:
    Path("out").mkdir()
    Path(os.fsdecode(b"caf\xe9.png")).touch()
    Path("out/answers.csv").write_text("image,class_1,error\na.tar:b.png,x,\ndeep/d.webp,y,\ncaf\\xe9.png,y,\n")
    assert named("out/answers.csv") == ["a.tar:b.png", "deep/d.webp", os.fsdecode(b"caf\xe9.png")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"name,label\na.jpg,x\n",
            "t.csv has no column called path, image, file or filename; it begins with: name,lab",
        ),
        (b"", "t.csv has no column called path"),
        (b"path\n", "there are no images in t.csv: it has no line below its header"),
        (b"path\n\xff\n", "cannot read t.csv as a UTF-8 table"),
        (b'path\n"a.jpg\n', "cannot read t.csv, line 2, as a table"),
    ],
)
def test_a_table_that_names_no_images_is_told(content: bytes, said: str, here: Path) -> None:
    Path("t.csv").write_bytes(content)
    with pytest.raises(FtError, match=said):
        named("t.csv")
