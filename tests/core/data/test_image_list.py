from __future__ import annotations

import csv
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from classified import image_data
from ft.config.loading import load_config
from ft.data.image_list import check_same_images, keep_image_list, listed_images, write_image_list
from ft.data.load import ImageData, Item, load_data
from ft.data.pictures import Picture
from ft.errors import FtError
from ft.extension.installed import Plugins

CLASSES = ("a", "b, or 'c'")


def some(folder: Path, *names: str) -> tuple[Item, ...]:
    return tuple(Item(Picture.at(folder / name), label, CLASSES[label]) for label, name in enumerate(names))


@pytest.fixture
def data(tmp_path: Path) -> ImageData:
    train, val = some(tmp_path, "a1.png", "b1.png"), some(tmp_path, "a2.png", "b2.png")
    digests = {item.picture.name: f"digest of {item.picture.path.name}" for item in (*train, *val)}
    return image_data(CLASSES, train, val, (), "x", digests=digests)


def test_the_same_images_are_the_same_wherever_they_lie(data: ImageData, tmp_path: Path) -> None:
    write_image_list(tmp_path / "images.csv", data)
    check_same_images(tmp_path / "images.csv", data)
    train, val = (some(tmp_path / "elsewhere", f"a{i}.png", f"b{i}.png") for i in (1, 2))
    digests = {item.picture.name: f"digest of {item.picture.path.name}" for item in (*train, *val)}
    check_same_images(tmp_path / "images.csv", replace(data, train=train, val=val, digests=digests))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("content", "1 of 4 images changed since then:\n  {0}/b1.png has another content\nUndo that"),
        ("class", "1 of 4 images changed since then:\n  {0}/b1.png was 'b, or 'c'' in train, is 'a' in train\n"),
        ("split", "2 of 4 images changed since then:\n  {0}/a1.png was 'a' in train, is 'a' in val\n  {0}/a2.png was"),
        ("gone", "1 of 4 images changed since then:\n  {0}/b1.png is gone, or cannot be read\n"),
        ("new", "1 of 4 images changed since then:\n  {0}/new.png is new\n"),
    ],
)
def test_what_changed_is_named(change: str, said: str, data: ImageData, tmp_path: Path) -> None:
    write_image_list(tmp_path / "images.csv", data)
    a1, b1 = data.train
    a2, b2 = data.val
    new = Item(Picture.at(tmp_path / "new.png"), 0, "a")
    other = {
        "content": replace(data, digests={**data.digests, b1.picture.name: "another"}),
        "class": replace(data, train=(a1, replace(b1, label="a"))),
        "split": replace(data, train=(a2, b1), val=(a1, b2)),
        "gone": replace(data, train=(a1,)),
        "new": replace(data, train=(*data.train, new), digests={**data.digests, new.picture.name: "x"}),
    }[change]
    with pytest.raises(FtError) as raised:
        check_same_images(tmp_path / "images.csv", other)
    assert f"{tmp_path} cannot go on as it began: {said.format(tmp_path)}" in str(raised.value)


def test_images_that_lie_elsewhere_are_said_and_listed_anew(data: ImageData, tmp_path: Path) -> None:
    path = tmp_path / "images.csv"
    write_image_list(path, data)
    before = path.read_text()
    assert keep_image_list(path, data) == ""
    path.write_text(before.replace(f"{tmp_path}/a1.png", f"{tmp_path}/other.png"))
    assert keep_image_list(path, data) == (
        f"1 of 4 images lie elsewhere than {path} said, with the same content: {tmp_path}/other.png is now "
        f"{tmp_path}/a1.png"
    )
    assert path.read_text() == before


def test_of_images_that_lie_elsewhere_only_those_that_changed_are_named(data: ImageData, tmp_path: Path) -> None:
    write_image_list(tmp_path / "images.csv", data)
    train, val = (some(tmp_path / "new", f"a{i}.png", f"b{i}.png") for i in (1, 2))
    digests = {item.picture.name: f"digest of {Path(item.picture.name).name}" for item in (*train, *val)}
    other = replace(data, train=train, val=val, digests={**digests, train[1].picture.name: "another"})
    with pytest.raises(FtError, match=r"1 of 4 images changed since then:\n  .*/new/b1\.png has another content"):
        check_same_images(tmp_path / "images.csv", other)


def test_a_list_that_is_gone_is_said_to_be(data: ImageData, tmp_path: Path) -> None:
    with pytest.raises(FtError, match=r"cannot tell whether the images are those of .*images\.csv"):
        check_same_images(tmp_path / "images.csv", data)


def test_a_name_that_is_no_text_is_spelt_out(data: ImageData, tmp_path: Path) -> None:
    odd = Item(Picture.at(tmp_path / os.fsdecode(b"\xff.png")), 0)
    data = replace(data, train=(odd,), digests={**data.digests, odd.picture.name: "x"})
    write_image_list(tmp_path / "images.csv", data)
    with (tmp_path / "images.csv").open(encoding="utf-8", newline="") as file:
        assert next(iter(csv.DictReader(file)))["path"] == f"{tmp_path}/\\xff.png"


def test_the_list_is_data_for_another_run_with_the_same_splits(
    data: ImageData, tmp_path: Path, plugins: Plugins
) -> None:
    for item in data.items:
        item.picture.path.touch()
    write_image_list(tmp_path / "run.csv", data)
    again = load_data(load_config(flags={"backbone": "x", "data": str(tmp_path / "run.csv")}), plugins)
    assert (again.space, again.train, again.val, again.test) == (data.space, data.train, data.val, data.test)


file_names = (
    st.binary(min_size=1, max_size=8).map(os.fsdecode)
    | st.text("ab \\\r\n\t\"',;|~x\u00e9\udce9", min_size=1, max_size=8)
).filter(lambda name: not set(name) & set("/\0") and name.strip(".") and not name.startswith("~"))


@settings(max_examples=25, deadline=None)
@given(st.sets(file_names, min_size=4, max_size=6))
def test_files_of_any_name_are_found_again_by_the_list_and_in_the_same_splits(
    plugins: Plugins, names: set[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in sorted(names)]
        for path in paths:
            path.touch()
        val, *train = (Item(Picture.at(path), number % 2) for number, path in enumerate(paths))
        data = image_data(("a", "b c"), tuple(train), (val,), (), "x", digests=dict.fromkeys(map(str, paths), "digest"))
        write_image_list(Path(folder, "images.csv"), data)
        check_same_images(Path(folder, "images.csv"), data)
        again = load_data(load_config(flags={"backbone": "x", "data": f"{folder}/images.csv"}), plugins)
        assert {*again.train} == {*data.train}
        assert {*again.val} == {*data.val}


def test_table_is_read_as_it_was_written(data: ImageData, tmp_path: Path) -> None:
    write_image_list(tmp_path / "images.csv", data)
    a1, b1, a2, b2 = listed_images(tmp_path / "images.csv")
    assert [each.split for each in (a1, b1, a2, b2)] == ["train", "train", "val", "val"]
    assert (b2.label, b2.digest) == (CLASSES[1], "digest of b2.png")
    assert Path(b2.path) == tmp_path / "b2.png"


def test_labels_of_several_columns_are_read_by_their_names(data: ImageData, tmp_path: Path) -> None:
    columns = tuple(replace(item, label={"width": "3", "height": ""}) for item in data.train)
    write_image_list(tmp_path / "images.csv", replace(data, train=columns, val=()))
    assert [each.label for each in listed_images(tmp_path / "images.csv")] == [{"width": "3", "height": ""}] * 2


def test_list_that_is_not_there_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(FtError, match=r"images\.csv"):
        listed_images(tmp_path / "images.csv")
