"""folder:PATH"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ft import FtError, Sample
from ft_data.folder import Settings, load


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.touch()
    return root


def read(root: Path, layout: str = "auto") -> list[Sample]:
    return list(load(str(root), Settings.model_validate({"layout": layout})))


def error(root: Path, layout: str = "auto") -> str:
    with pytest.raises(FtError) as raised:
        read(root, layout)
    return str(raised.value)


def test_a_folder_of_class_folders_has_their_names_as_labels_and_no_split(tmp_path: Path) -> None:
    root = make(tmp_path, "cat/2.JPG", "cat/1.jpeg", "dog/a.png")
    assert read(root) == [
        Sample(root / "cat/1.jpeg", "cat"),
        Sample(root / "cat/2.JPG", "cat"),
        Sample(root / "dog/a.png", "dog"),
    ]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_train_val_and_test_folders_say_the_split(tmp_path: Path, name: str) -> None:
    root = make(tmp_path, "train/cat/1.png", "train/dog/1.png", f"{name}/cat/1.png", "test/dog/1.png", "labels/a.txt")
    found = Counter((sample.split, sample.label) for sample in read(root))
    assert found == Counter([("train", "cat"), ("train", "dog"), ("val", "cat"), ("test", "dog")])


def test_what_is_hidden_or_no_image_is_passed_over(tmp_path: Path) -> None:
    root = make(
        tmp_path, "cat/1.png", "dog/1.png", ".ipynb_checkpoints/1.png", "cat/.ipynb_checkpoints/1-checkpoint.png",
        "__MACOSX/cat/1.png", "cat/._1.png", "cat/Thumbs.db", "cat/notes.txt", "Thumbs.db", ".DS_Store",
    )  # fmt: skip
    assert [s.path.relative_to(root).as_posix() for s in read(root)] == ["cat/1.png", "dog/1.png"]


def test_folders_inside_a_class_belong_to_it(tmp_path: Path) -> None:
    root = make(tmp_path, "cat/2024/may/1.png", "cat/1.png", "dog/x/1.png")
    assert Counter(s.label for s in read(root)) == {"cat": 2, "dog": 1}


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    make(tmp_path, "store/1.png", "store/2.png")
    root = make(tmp_path / "photos", "cat/1.png", "dog/")
    (root / "dog/all").symlink_to(tmp_path / "store", target_is_directory=True)
    (root / "dog/9.png").symlink_to(tmp_path / "store/1.png")
    (root / "cat/back").symlink_to(root / "cat", target_is_directory=True)
    assert Counter(s.label for s in read(root)) == {"cat": 1, "dog": 3}


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, scan = make(tmp_path, "cat/1.png", "cat/batch2/2.png", "dog/3.png"), os.scandir

    def refusing(path: Path) -> Any:
        if Path(path).name == "batch2":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refusing)
        said = error(root)
    assert said == f"cannot read the folder {root / 'cat/batch2'}: Permission denied"


def test_a_link_that_leads_nowhere_is_handed_on_so_that_it_is_reported(tmp_path: Path) -> None:
    root = make(tmp_path, "cat/1.png", "dog/1.png")
    (root / "dog/2.png").symlink_to(tmp_path / "gone.png")
    assert root / "dog/2.png" in [s.path for s in read(root)]


def test_a_path_that_is_missing_is_told_with_its_neighbours(tmp_path: Path) -> None:
    make(tmp_path, "photos/", "music/")
    assert error(tmp_path / "fotos").endswith(f"{tmp_path} has no 'fotos'; nearest: photos")
    assert f"{tmp_path} has no 'fotos'; nearest: photos" in error(tmp_path / "fotos/train")
    assert error(tmp_path / "xyz").endswith("it has music, photos")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    make(tmp_path, "a.csv")
    assert error(tmp_path / "a.csv") == f"{tmp_path}/a.csv is a file, not a folder; did you mean csv:{tmp_path}/a.csv?"
    with pytest.raises(FtError, match=r"which folder\? Write folder:PATH"):
        list(load(None, Settings()))


@pytest.mark.parametrize("place", ["", "train/", "val/"])
def test_images_outside_any_class_folder_are_an_error(tmp_path: Path, place: str) -> None:
    make(tmp_path, f"{place}b.png", f"{place}a.png")
    if place:
        make(tmp_path, "train/cat/1.png", "train/dog/1.png", "val/cat/1.png")
    assert f"2 images lie directly in {tmp_path / place}, such as a.png" in error(tmp_path)


def test_class_folders_without_images_are_all_named_with_what_they_hold(tmp_path: Path) -> None:
    root = make(tmp_path, "cat/1.png", "dog/1.heic", "dog/2.HEIC", "owl/")
    text = error(root)
    assert text.startswith("2 class folders hold no images (.bmp, ")
    assert f"  {root / 'dog'} (has 2 .heic files)\n  {root / 'owl'}\n" in text


def test_a_class_may_be_empty_in_validation(tmp_path: Path) -> None:
    root = make(tmp_path, "train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/")
    assert [s.label for s in read(root) if s.split == "val"] == ["cat"]


def test_a_folder_with_nothing_in_it_says_what_was_looked_for(tmp_path: Path) -> None:
    assert error(tmp_path).startswith(f"no images in {tmp_path}: looked for a folder for each class, holding .bmp,")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/a/1.png", "val/a/1.png", "valid/a/1.png"), "has both val/ and valid/; keep one"),
        (("val/a/1.png", "test/a/1.png"), "has test/ and val/ but no train/"),
        (("train/a/1.png", "vaildation/a/1.png"), "beside it vaildation/, which holds images but is none of"),
    ],
)
def test_split_folders_that_are_not_what_they_seem_are_an_error(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    assert message in error(make(tmp_path, *names))


def test_classes_may_be_called_train_when_the_layout_is_said(tmp_path: Path) -> None:
    root = make(tmp_path, "train/1.png", "plane/1.png")
    assert "say so with --set data.layout=classes" in error(root)
    assert [s.label for s in read(root, "classes")] == ["plane", "train"]


def test_splits_that_were_asked_for_must_be_there(tmp_path: Path) -> None:
    assert error(make(tmp_path, "a/1.png", "b/1.png"), "splits") == f"{tmp_path} has no train/ folder; it has a, b"
