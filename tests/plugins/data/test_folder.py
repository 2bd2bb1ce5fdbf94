"""folder:PATH"""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from ft import FtError, Remark, Sample
from ft_data.folder import Settings, load
from ft_data.splits import says_nothing, split_of

JPEG, PNG = b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"


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
    return [each for each in everything(root, layout) if isinstance(each, Sample)]


def said(root: Path) -> list[str]:
    """The remarks; those that warn begin so."""
    remarks = [each for each in everything(root) if isinstance(each, Remark)]
    return [("warning: " if each.warns else "") + each.text.replace(f"{root}/", "") for each in remarks]


def everything(root: Path, layout: str = "auto") -> list[Sample | Remark]:
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


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("Train", "valid", "TEST"),
        ("Training", "validation", "Testing"),
        ("seg_train", "seg_dev", "seg_test"),
        ("training_set", "evaluation_set", "test set"),
        ("train_images", "images-val", "TestImages"),
        ("train2017", "val2017", "hold-out"),
        ("trainset", "devset", "test1"),
    ],
)
def test_train_val_and_test_folders_say_the_split(tmp_path: Path, train: str, val: str, test: str) -> None:
    root = make(
        tmp_path, f"{train}/cat/1.png", f"{train}/dog/1.png", f"{val}/cat/1.png", f"{test}/dog/1.png", "x/a.txt"
    )
    found = Counter((sample.split, sample.label) for sample in read(root))
    assert found == Counter([("train", "cat"), ("train", "dog"), ("val", "cat"), ("test", "dog")])


@pytest.mark.parametrize("name", ["trains", "trainer", "contest", "evaluator", "devil", "Valencia", "tested", "data"])
def test_other_names_are_classes(name: str) -> None:
    assert split_of(name) is None


@settings(max_examples=40)
@given(st.text(max_size=20) | st.lists(st.sampled_from(["data", "set", "img", "train", "s", "1", "_"])).map("".join))
def test_any_name_is_one_split_or_none(name: str) -> None:
    assert split_of(name) in ("train", "val", "test", None)
    assert split_of(name) == split_of(name.upper()) == split_of(f"{name} ")
    assert not (says_nothing(name) and split_of(name))


def test_a_split_of_another_name_is_said(tmp_path: Path) -> None:
    root = make(tmp_path, "Training/a/1.png", "Training/b/1.png", "Testing/a/1.png", "Val/b/1.png")
    assert said(root) == ["test images are those in Testing", "train images are those in Training"]


def test_a_folder_around_the_class_folders_of_a_split_is_entered_and_said(tmp_path: Path) -> None:
    root = make(tmp_path, "seg_train/seg_train/a/1.png", "seg_train/seg_train/b/1.png", "test/images/Test/b/1.png")
    assert Counter((s.split, s.label) for s in read(root)) == Counter([("train", "a"), ("train", "b"), ("test", "b")])
    assert said(root) == ["train images are those in seg_train/seg_train", "test images are those in test/images/Test"]


def test_the_only_class_of_a_split_is_not_entered(tmp_path: Path) -> None:
    root = make(tmp_path, "train/cat/2023/1.png", "train/cat/2024/1.png")
    assert Counter((s.split, s.label) for s in read(root)) == Counter({("train", "cat"): 2})


@pytest.mark.parametrize("place", ["test/1.png", "test1/test1/1.png", "Testing/images/1.png", "pred/pred/1.png"])
def test_images_without_classes_beside_train_are_left_out_and_said(tmp_path: Path, place: str) -> None:
    root = make(tmp_path, "train/a/1.png", "train/b/1.png", place, place.replace("1.png", "2.png"))
    assert Counter(s.split for s in read(root)) == Counter({"train": 2})
    warns = "warning: " if place.startswith("pred") else ""
    assert said(root) == [f"{warns}{place.split('/')[0]} is left out: its 2 images are in no class folders"]


@pytest.mark.parametrize("inner", ["a", "train/a"])
def test_folders_around_the_class_folders_are_said_with_the_path_to_give(tmp_path: Path, inner: str) -> None:
    make(tmp_path, f"archive/pets v2/{inner}/1.png", f"archive/pets v2/{inner}/../b/1.png")
    assert f"if these are the classes, or the splits, give --data '{tmp_path}/archive/pets v2" in error(tmp_path)
    assert len(read(tmp_path / "archive/pets v2")) == 2


def test_one_class_of_one_folder_is_left_to_those_who_count_classes(tmp_path: Path) -> None:
    assert [s.label for s in read(make(tmp_path, "cat/1.png", "cat/may/2.png", "cat/june/3.png"))] == ["cat"] * 3


@pytest.mark.parametrize("inner", [("cat", "dog"), ("images", "masks"), ("test", "train", "val")])
def test_classes_that_all_hold_the_same_folders_are_warned_of(tmp_path: Path, inner: tuple[str, ...]) -> None:
    root = make(tmp_path, *(f"{outer}/{name}/1.png" for outer in ("site1", "site2") for name in inner))
    (warning,) = said(root)
    assert warning.startswith("warning: every class folder in")
    assert f"holds the same folders, {', '.join(inner)}; their images are taken for site1, site2" in warning
    assert said(make(tmp_path, "site3/1.png")) == []


def test_what_is_left_out_is_counted_with_an_example(tmp_path: Path) -> None:
    root = make(
        tmp_path, "a/1.png", "b/1.png", "a/b.txt", "a/c.TXT", "b/x/y.json", "b/notes", "b/.hidden", "a/Thumbs.db"
    )
    assert said(root) == [
        "4 files left out, which are no images that can be read: 2 .txt, 1 .json, 1 without suffix, as a/b.txt"
    ]


def test_left_out_files_that_look_like_images_are_warned_of(tmp_path: Path) -> None:
    root = make(tmp_path, "a/1.png", "b/1.png")
    (root / "b/1.jpg_large").write_bytes(JPEG)
    assert said(root) == [
        "warning: 1 file left out, which is no image that can be read: 1 .jpg_large (JPEG), as b/1.jpg_large"
    ]


def test_images_of_any_suffix_and_of_none_are_taken(tmp_path: Path) -> None:
    root = make(tmp_path, *(f"a/1{suffix}" for suffix in (".jfif", ".JPE", ".avif", ".jpg", ".mpo", ".j2k", ".apng")))
    for name, content in {"b/photo": JPEG, "b/IMG 2024.05.03": PNG, "b/note": b"Pygmalion", "b/none": b""}.items():
        make(tmp_path, name).joinpath(name).write_bytes(content)
    assert Counter(s.label for s in read(root)) == {"a": 7, "b": 2}
    assert said(root) == ["2 files left out, which are no images that can be read: 2 without suffix, as b/none"]


@pytest.mark.parametrize("place", ["c", "train/c", "val"])
def test_a_link_in_place_of_a_folder_that_leads_nowhere_is_an_error(tmp_path: Path, place: str) -> None:
    root = make(tmp_path, *("train/a/1.png", "train/b/1.png") if place != "c" else ("a/1.png", "b/1.png"))
    (root / place).symlink_to("/nowhere/c")
    assert error(root).startswith(f"{root / place} is a link that leads nowhere (to /nowhere/c)")


def test_a_link_to_itself_is_an_error(tmp_path: Path) -> None:
    root = make(tmp_path, "a/1.png", "b/1.png")
    (root / "c").symlink_to("c")
    assert "is a link that leads nowhere (to c)" in error(root)


def test_a_lost_link_among_images_is_handed_on_so_that_it_is_reported(tmp_path: Path) -> None:
    root = make(tmp_path, "cat/1.png", "dog/1.png")
    (root / "dog/batch2").symlink_to(tmp_path / "gone")
    assert root / "dog/batch2" in [s.path for s in read(root)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are of POSIX")
def test_a_pipe_is_left_out_and_not_waited_for(tmp_path: Path) -> None:
    root = make(tmp_path, "cat/1.png", "dog/1.png")
    os.mkfifo(root / "dog/pipe")
    assert said(root) == ["1 file left out, which is no image that can be read: 1 without suffix, as dog/pipe"]


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
    root = make(tmp_path, "cat/1.png", "cat/batch2/2.png", "dog/3.png")
    for place in ("cat/batch2", "cat", "."):
        refused = root / place

        def refusing(path: Path, real: Any, refused: Path = refused) -> Any:
            if Path(path) == refused:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        with monkeypatch.context() as patched:
            patched.setattr(os, "scandir", partial(refusing, real=os.scandir))
            patched.setattr(os, "listdir", partial(refusing, real=os.listdir))
            text = error(root)
        assert text == f"cannot read the folder {refused}: Permission denied"


def test_a_link_that_leads_nowhere_is_handed_on_so_that_it_is_reported(tmp_path: Path) -> None:
    root = make(tmp_path, "cat/1.png", "dog/1.png")
    (root / "dog/2.png").symlink_to(tmp_path / "gone.png")
    assert root / "dog/2.png" in [s.path for s in read(root)]


def test_a_path_that_is_missing_is_told_with_its_neighbours(tmp_path: Path) -> None:
    make(tmp_path, "photos/", "music/")
    assert error(tmp_path / "fotos").endswith(f"{tmp_path} has no 'fotos'; nearest: photos")
    assert f"{tmp_path} has no 'fotos'; nearest: photos" in error(tmp_path / "fotos/train")
    assert error(tmp_path / "xyz").endswith("it has music, photos")


def test_text_that_can_be_no_path_is_no_folder(tmp_path: Path) -> None:
    assert "there is no folder" in error(tmp_path / ("x" * 5000))
    assert "there is no folder" in error(tmp_path / "no\0thing")


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
    root = make(tmp_path, "cat/1.png", "dog/1.psd", "dog/2.PSD", "owl/")
    text = error(root)
    assert text.startswith("2 class folders hold no images (JPEG, PNG, ")
    assert f"  {root / 'dog'} (has 2 .psd files)\n  {root / 'owl'}\n" in text


def test_a_class_may_be_empty_in_validation(tmp_path: Path) -> None:
    root = make(tmp_path, "train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/")
    assert [s.label for s in read(root) if s.split == "val"] == ["cat"]


def test_a_folder_with_nothing_in_it_says_what_was_looked_for(tmp_path: Path) -> None:
    assert error(tmp_path).startswith(
        f"no images in {tmp_path}: looked for a folder for each class, holding JPEG, PNG,"
    )


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
