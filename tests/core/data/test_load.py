"""Loading, splitting and checking images."""

from __future__ import annotations

import gc
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from PIL import Image

from classified import image_data, source_alone
from ft import DataSource, FtError, Remark, Sample
from ft.config.schema import Config
from ft.config.split import SplitConfig
from ft.data.load import ImageData, Item, load_data
from ft.data.pictures import Picture
from ft.data.readable import check_images
from ft.data.reference import data_reference
from ft.data.splits import choose_splits
from ft.extension.installed import Plugins


def plugins_with(samples: list[Sample] | None = None, *names: str) -> Plugins:
    def load(argument: str | None, settings: object) -> list[Sample]:
        return samples or []

    return source_alone(*(DataSource(name, "for a test", load=load) for name in names or ("given", "folder", "csv")))


def load(samples: list[Sample], **config: object) -> ImageData:
    return load_data(Config.model_validate({"backbone": "x:y", "data": "given", **config}), plugins_with(samples))


def samples_of(classes: dict[str, int], split: str | None = None, root: str = "/data", start: int = 0) -> list[Sample]:
    return [
        Sample(Path(root, name, f"{number}.png"), name, split)  # type: ignore[arg-type]
        for name, count in classes.items()
        for number in range(start, start + count)
    ]


def labels(items: tuple[Item, ...], data: ImageData) -> Counter[str]:
    return Counter(item.label for item in items)


def keyed(samples: list[Sample]) -> dict[str, Sample]:
    return {sample.path.as_posix(): sample for sample in samples}


def test_while_samples_are_read_nobody_searches_for_garbage_and_afterwards_somebody_does() -> None:
    searched = []

    def yielding(argument: str | None, settings: object) -> Iterator[Sample]:
        searched.append(gc.isenabled())
        yield from samples_of({"a": 4, "b": 4})

    plugins = source_alone(DataSource("given", "for a test", load=yielding))
    load_data(Config.model_validate({"backbone": "x:y", "data": "given"}), plugins)
    assert searched == [False]
    assert gc.isenabled()


# Classes


def test_classes_are_numbered_by_name_and_sorted_as_people_count() -> None:
    data = load(samples_of({"class10": 5, "class9": 5, "Apple": 5, "banana": 5}))
    assert data.space.names == ("Apple", "banana", "class9", "class10")
    assert all(item.picture.path.parent.name == item.label for item in data.items)


def test_a_class_without_validation_images_shifts_no_label_and_is_told() -> None:
    data = load(samples_of({"a": 3, "b": 3, "c": 3}, "train") + samples_of({"a": 2, "c": 2}, "val", "/data/val"))
    assert data.space.names == ("a", "b", "c")
    assert labels(data.val, data) == {"a": 2, "c": 2}
    assert data.warnings == ("val has no image of 1 of 3 classes: b",)


def test_a_class_that_no_training_image_has_is_an_error_with_the_nearest() -> None:
    samples = samples_of({"cat": 3, "dog": 3}, "train") + samples_of({"cats": 1}, "val")
    with pytest.raises(FtError, match=r"\(val\): 'cats' is no class of the training images\. Did you mean 'cat'"):
        load(samples)


def test_labels_spelt_in_different_unicode_forms_are_one_class() -> None:
    samples = samples_of({"caf\u00e9": 3, "bar": 3}, "train") + samples_of({"cafe\u0301": 1}, "val", "/data/val")
    assert load(samples).space.names == ("bar", "caf\u00e9")


def test_another_spelling_of_the_same_letters_gives_the_same_split() -> None:
    one, other = (load(samples_of({name: 9, "bar": 9}, root="/x")).val for name in ("caf\u00e9", "cafe\u0301"))
    assert [(item.picture.path.name, item.target) for item in one] == [
        (item.picture.path.name, item.target) for item in other
    ]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "there are no images in 'given'"),
        (samples_of({"only": 5}), "one class only, 'only'"),
        (samples_of({"a": 3, "b": 3}, "val"), "no training images in 'given', only val"),
        (samples_of({"a": 1, "b": 1}), "leaves none to validate"),
        ([Sample(Path("/x/1.png"), "a"), Sample(Path("/x/1.png"), "b")], "twice: as 'a' and as 'b'"),
        (
            [Sample(Path("/x/1.png"), "a", "train"), Sample(Path("/x/1.png"), "a", "val")],
            "twice: as 'a' in train and as 'a' in val",
        ),
        ([Sample(Path("/x/1.png"), 3)], r"source 'given' of test-dist 1\.0 yielded .*label=3"),  # type: ignore[arg-type]
    ],
)
def test_data_that_cannot_be_learnt_from_is_an_error(samples: list[Sample], message: str) -> None:
    with pytest.raises(FtError, match=message):
        load(samples)


def test_an_image_that_is_listed_twice_alike_counts_once_and_is_told() -> None:
    samples = samples_of({"a": 5, "b": 5})
    data = load(samples + samples[:2])
    assert len(data.items) == 10
    assert data.warnings == ("2 images are listed more than once and counted once",)
    again = [Sample(sample.path, sample.label) for sample in samples[:2]]
    assert load(samples + again) == data


# Splits


def test_what_has_no_split_is_split_by_share_in_every_class_and_told() -> None:
    data = load(samples_of({"a": 20, "b": 40}), split={"val": 0.25, "test": 0.1, "seed": 7})
    assert labels(data.val, data) == {"a": 5, "b": 10}
    assert labels(data.test, data) == {"a": 2, "b": 4}
    assert data.all_notes == (
        "val: 15 images set aside from train (25 % of every class, seed 7)",
        "test: 6 images set aside from train (10 % of every class, seed 7)",
    )


def test_what_was_left_out_since_is_not_counted_among_what_was_set_aside() -> None:
    data = load(samples_of({"a": 20, "b": 20}), split={"val": 0.1, "test": 0.1, "seed": 7})
    fewer = replace(data, val=data.val[1:], test=data.test[3:])
    assert [note.partition(" set")[0] for note in fewer.all_notes] == ["val: 3 images", "test: 1 image"]


def test_val_is_split_off_train_when_only_train_is_given() -> None:
    data = load(samples_of({"a": 10, "b": 10}, "train") + samples_of({"a": 2, "b": 2}, "test", "/data/test"))
    assert (len(data.train), len(data.val), len(data.test)) == (16, 4, 4)


def test_a_share_of_what_the_data_brings_is_said_to_have_no_effect() -> None:
    given = samples_of({"a": 4, "b": 4}, "train") + samples_of({"a": 1, "b": 1}, "val", "/data/val")
    data = load(given, split={"val": 0.5, "test": 0.25})
    assert data.warnings == ("--val-fraction has no effect: the data has its own val images",)
    assert load(given).warnings == ()


def test_given_splits_stay_as_they_are() -> None:
    given = samples_of({"a": 4, "b": 4}, "train") + samples_of({"a": 1, "b": 1}, "val", "/data/val")
    data = load([*given, *samples_of({"a": 2, "b": 2}, None, "/data/more")], split={"test": 0.4})
    assert len(data.val) == 2
    assert data.all_notes == ("test: 4 images set aside from train (40 % of every class, seed 0)",)
    assert len(data.train) == 8


def test_a_single_image_of_a_class_trains_and_its_class_is_told() -> None:
    data = load(samples_of({"a": 10, "rare": 1}))
    assert labels(data.train, data)["rare"] == 1
    assert data.warnings == ("val has no image of 1 of 2 classes: rare",)


def test_the_split_is_that_of_this_version_for_good() -> None:
    chosen = choose_splits(keyed(samples_of({"a": 8, "b": 8}, root="")), SplitConfig(val=0.25, seed=3))
    assert sorted(key for key, split in chosen.items() if split == "val") == PINNED


PINNED = ["a/2.png", "a/5.png", "b/4.png", "b/6.png"]


def test_another_place_and_another_order_give_the_same_split() -> None:
    here, there = samples_of({"a": 15, "b": 9}, root="/home/one"), samples_of({"a": 15, "b": 9}, root="/mnt/x/y")
    random.Random(0).shuffle(there)

    def names(data: ImageData) -> list[list[str]]:
        return [["/".join(i.picture.path.parts[-2:]) for i in part] for part in (data.train, data.val, data.test)]

    assert names(load(here)) == names(load(there))
    assert names(load(here)) != names(load(here, split={"seed": 1}))


counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), min_size=1)
shares = st.floats(0.01, 0.49)


@given(counts, shares, st.just(0.0) | shares, st.integers(0, 100), st.randoms())
def test_any_split_is_whole_stratified_and_blind_to_order(
    classes: dict[str, int], val: float, test: float, seed: int, rng: random.Random
) -> None:
    samples, config = keyed(samples_of(classes)), SplitConfig(val=val, test=test, seed=seed)
    splits = choose_splits(samples, config)
    assert splits.keys() == samples.keys()
    for name, count in classes.items():
        found = Counter(split for key, split in splits.items() if samples[key].label == name)
        assert found["train"] >= 1
        assert found["val"] >= min(1, count - 1)
        assert abs(found["val"] - count * val) <= 1
        assert found["test"] >= (min(1, count - 2) if test and count > 1 else 0)
        assert abs(found["test"] - count * test) <= 1.5
    shuffled = list(samples.items())
    rng.shuffle(shuffled)
    assert choose_splits(dict(shuffled), config) == splits


@given(counts, st.integers(0, 100))
def test_an_image_that_is_added_moves_at_most_one_other_a_split(classes: dict[str, int], seed: int) -> None:
    before = choose_splits(keyed(samples_of(classes)), SplitConfig(val=0.3, seed=seed))
    more = {**classes, "a": classes.get("a", 0) + 1}
    after = choose_splits(keyed(samples_of(more)), SplitConfig(val=0.3, seed=seed))
    assert sum(after[key] != split for key, split in before.items()) <= 1


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(ValueError, match="leave nothing to train on"):
        SplitConfig(val=0.5, test=0.5)


# References


def test_a_folder_and_a_table_become_references_and_an_installed_source_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "given"):
        (tmp_path / name).mkdir()
    (tmp_path / "labels.csv").touch()
    plugins = plugins_with()
    texts = ["photos", "./given", "given", "labels.csv", "folder:nowhere", "./mine.py:Mine", "foldr:x"]
    assert [str(data_reference(text, plugins)) for text in texts] == [
        "folder:photos", "folder:./given", "given", "csv:labels.csv", "folder:nowhere", "./mine.py:Mine", "foldr:x",
    ]  # fmt: skip


def test_a_name_that_is_nothing_is_told_as_source_and_as_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(FtError) as error:
        data_reference("photo", plugins_with())
    assert "no data source named 'photo'" in str(error.value)
    assert f"no folder or file {tmp_path / 'photo'}. Did you mean 'photos'?" in str(error.value)
    with pytest.raises(FtError, match=r"no folder or file .*/phots. Did you mean 'photos'"):
        data_reference("./phots", plugins_with())


@pytest.mark.parametrize("text", ["x" * 5000, "no\0thing", "a/" * 3000, "~nobody-here/photos", "\udce9/x"])
def test_text_that_can_be_no_path_is_no_data(text: str) -> None:
    with pytest.raises(FtError):
        data_reference(text, plugins_with())


def test_a_link_that_leads_nowhere_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "photos").symlink_to("/nowhere/photos")
    with pytest.raises(FtError, match=r"photos is a link that leads nowhere \(to /nowhere/photos\)"):
        data_reference(str(tmp_path / "photos"), plugins_with())


def test_a_file_of_another_kind_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").touch()
    with pytest.raises(FtError, match=r"photos\.zip is neither a folder of images nor a table \(\.csv, \.tsv\)"):
        data_reference(str(tmp_path / "photos.zip"), plugins_with())


# Checking


def noise(folder: Path, train: int = 4, val: int = 2) -> ImageData:
    def items(split: str, count: int) -> tuple[Item, ...]:
        made = []
        for number in range(count):
            path = folder / f"{split}{number}.png"
            Image.effect_noise((32, 32), 80).save(path)
            made.append(Item(Picture.at(path), number % 2))
        return tuple(made)

    return image_data(("a", "b"), items("train", train), items("val", val))


def test_every_unreadable_image_is_listed_with_its_reason_before_anything_trains(tmp_path: Path) -> None:
    data = noise(tmp_path, train=30)
    whole = data.train[0].picture.path.read_bytes()
    data.train[0].picture.path.write_bytes(whole[: len(whole) // 2])
    data.train[1].picture.path.write_bytes(b"")
    data.val[0].picture.path.unlink()
    with pytest.raises(FtError) as error:
        check_images(data, "fail")
    text = str(error.value)
    assert text.startswith("3 of 32 images cannot be read:")
    assert "train0.png: " in text
    assert "truncated" in text
    assert "train1.png: not an image" in text
    assert "val0.png: No such file or directory" in text
    assert text.endswith("--bad-images skip")


def test_a_cache_folder_that_cannot_be_written_to_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    data = noise(tmp_path)
    assert check_images(data, "fail").digests.keys() == {item.picture.name for item in data.items}


def test_a_long_list_of_unreadable_images_is_cut(tmp_path: Path) -> None:
    data = noise(tmp_path, train=25)
    for item in data.train:
        item.picture.path.write_text("text")
    with pytest.raises(FtError, match=r"(?s)train0.*and 5 more"):
        check_images(data, "fail")


def test_unreadable_images_are_left_out_when_asked_and_told(tmp_path: Path) -> None:
    data = noise(tmp_path)
    for item in (data.train[3], data.val[1]):
        item.picture.path.write_text("text")
    kept = check_images(data, "skip")
    assert (kept.train, kept.val) == (data.train[:3], data.val[:1])
    assert kept.warnings[0].startswith("2 of 6 images cannot be read and are left out:")
    assert kept.warnings[1:] == ("val has no image of 1 of 2 classes: b",)


@pytest.mark.parametrize(
    ("part", "message"),
    [("train", "of those that are left there is one class only, 'b'"), ("val", "none to validate with")],
)
def test_leaving_out_may_not_empty_a_class_or_the_validation(tmp_path: Path, part: str, message: str) -> None:
    data = noise(tmp_path, train=2, val=1)
    getattr(data, part)[0].picture.path.write_text("text")
    with pytest.raises(FtError, match=message):
        check_images(data, "skip")


def test_whoever_asks_is_told_how_far_the_check_is(tmp_path: Path) -> None:
    seen: list[int] = []
    data = noise(tmp_path, train=40)
    checked = check_images(data, "fail", seen.append)
    assert checked.items == data.items
    assert set(checked.digests) == {item.picture.name for item in data.items}
    assert seen == sorted(seen)
    assert seen[-1] == len(data.items)


# What data sources say, and names


def test_what_a_source_remarks_is_a_note_or_a_warning() -> None:
    remarks = [Remark("read by the moon"), Remark("2 files left out", warns=True)]
    data = load([*samples_of({"a": 5, "b": 5}), *remarks])  # type: ignore[list-item]
    assert data.notes[0] == "read by the moon"
    assert data.warnings == ("2 files left out",)


def test_space_around_a_label_is_no_part_of_it_and_the_merger_is_said() -> None:
    data = load(samples_of({"cat": 5, "cat ": 3, "dog": 5}))
    assert data.space.names == ("cat", "dog")
    assert labels(data.items, data) == {"cat": 8, "dog": 5}
    assert [warning.partition(": ")[2] for warning in data.warnings] == ["'cat' and 'cat ' are 'cat'"]


def test_classes_that_look_alike_are_told_apart_and_warned_of() -> None:
    data = load(samples_of({"Cat": 5, "cat": 5, "0": 3, "0.0": 3}))
    assert data.space.names == ("0", "0.0", "Cat", "cat")
    assert "'0' and '0.0', 'Cat' and 'cat'; if they are one" in data.warnings[0]


def test_names_that_are_no_utf8_are_split_and_numbered_as_any(tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xe9t\xe9")
    data = load([*samples_of({odd: 5, "b": 5}), Sample(Path("/data/b", os.fsdecode(b"\xff.png")), "b")])
    assert data.space.names == (r"\xe9t\xe9", "b")
    assert len(data.items) == 11


def test_a_number_too_long_to_be_one_is_a_name() -> None:
    assert load(samples_of({"7" * 9000: 5, "8": 5, "007": 5, "10": 5})).space.names == ("007", "8", "10", "7" * 9000)
