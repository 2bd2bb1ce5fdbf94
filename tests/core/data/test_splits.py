"""Groups that stay whole, and folds."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from classified import source_alone
from ft.config.schema import Config, SplitConfig
from ft.data.load import ImageData, load_data
from ft.data.splits import choose_folds, choose_splits
from ft.data.whole_groups import share_out
from ft.errors import FtError
from ft.extension.extensions import DataSource
from ft.extension.records import Sample


def grouped(*rows: tuple[str, str, int], split: str | None = None, start: int = 0) -> dict[str, Sample]:
    """Samples by key: so many of each group and class."""
    return {
        f"{group}/{label}/{start + n}.png": Sample(
            Path(f"/data/{group}/{label}/{start + n}.png"),
            label,
            split,
            group=group,  # type: ignore[arg-type]
        )
        for group, label, count in rows
        for n in range(count)
    }


def load(samples: dict[str, Sample], **split: object) -> ImageData:
    def given(argument: str | None, settings: object, group: str | None = None) -> list[Sample]:
        return list(samples.values())

    plugins = source_alone(DataSource("given", "for a test", load=given))
    return load_data(Config.model_validate({"backbone": "x:y", "data": "given", "split": split}), plugins)


TWENTY = [(f"p{number}", label, 1 + number % 3) for number in range(20) for label in "ab"]

rows = st.lists(
    st.tuples(st.sampled_from([f"g{n}" for n in range(9)]), st.sampled_from("abc"), st.integers(1, 4)),
    min_size=9,
    max_size=30,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=40)
@given(rows, st.floats(0.05, 0.45), st.just(0.0) | st.floats(0.05, 0.45), st.integers(0, 99), st.randoms())
def test_no_split_tears_a_group_and_none_is_empty_or_follows_from_the_order(
    rows: list[tuple[str, str, int]], val: float, test: float, seed: int, rng: random.Random
) -> None:
    samples, config = grouped(*rows), SplitConfig(group="g", val=val, test=test, seed=seed)
    splits = choose_splits(samples, config)
    of_group = {
        sample.group: {splits[k] for k, s in samples.items() if s.group == sample.group} for sample in samples.values()
    }
    assert all(len(found) == 1 for found in of_group.values())
    assert set(splits.values()) == {"train", "val", *(["test"] if test else [])}
    shuffled = list(samples.items())
    rng.shuffle(shuffled)
    assert choose_splits(dict(shuffled), config) == splits


@settings(max_examples=40)
@given(rows, st.integers(2, 3), st.integers(0, 99))
def test_folds_of_groups_are_whole_and_each_image_validates_once(
    rows: list[tuple[str, str, int]], folds: int, seed: int
) -> None:
    samples = grouped(*rows)
    in_fold = choose_folds(samples, SplitConfig(group="g", folds=folds, seed=seed))
    assert in_fold.keys() == samples.keys()
    assert set(in_fold.values()) == set(range(1, folds + 1))
    assert len({(sample.group, in_fold[key]) for key, sample in samples.items()}) == len({row[0] for row in rows})


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 30), min_size=1), st.integers(2, 7), st.integers(0, 9))
def test_each_image_validates_in_one_fold_and_each_fold_has_its_share_of_every_class(
    classes: dict[str, int], folds: int, seed: int
) -> None:
    samples = grouped(*(("", label, count) for label, count in classes.items()))
    if len(samples) < folds:
        return
    validates: Counter[str] = Counter()
    for fold in range(1, folds + 1):
        splits = choose_splits(samples, SplitConfig(folds=folds, fold=fold, seed=seed))
        val = [key for key, split in splits.items() if split == "val"]
        validates.update(val)
        for label, count in classes.items():
            assert sum(samples[key].label == label for key in val) in (count // folds, -(-count // folds))
        assert len(val) in (len(samples) // folds, -(-len(samples) // folds))
    assert validates == Counter(samples.keys())


def test_groups_share_out_every_class_nearly_and_the_seed_decides_which() -> None:
    samples = grouped(*TWENTY)
    splits = choose_splits(samples, SplitConfig(group="g", val=0.25))
    for label in "ab":
        share = sum(splits[key] == "val" for key, s in samples.items() if s.label == label)
        assert abs(share - 0.25 * 39) <= 1.5
    others = [choose_splits(samples, SplitConfig(group="g", val=0.25, seed=seed)) for seed in range(4)]
    assert len({tuple(sorted(each.items())) for each in others}) == 4


def test_folds_of_groups_that_have_one_class_each_have_both_classes() -> None:
    """As where a patient is either healthy or not: a split that only counts images would put any of them together."""
    samples = grouped(*((f"{label}{n}", label, 3) for label in "ab" for n in range(6)))
    in_fold = choose_folds(samples, SplitConfig(group="g", folds=3))
    assert set(Counter((in_fold[key], s.label) for key, s in samples.items()).values()) == {6}


def test_where_there_is_no_stratum_only_sizes_are_balanced() -> None:
    parts = share_out({f"g{n}": Counter({None: n + 1}) for n in range(12)}, [0.5, 0.5], seed=0)
    sizes = Counter({part: sum(n + 1 for n in range(12) if parts[f"g{n}"] == part) for part in (0, 1)})
    assert abs(sizes[0] - sizes[1]) <= 2


def test_the_only_group_of_a_class_trains() -> None:
    samples = grouped(*TWENTY, ("one", "rare", 2))
    for seed in range(5):
        splits = choose_splits(samples, SplitConfig(group="g", val=0.4, seed=seed))
        assert {splits[key] for key, s in samples.items() if s.group == "one"} == {"train"}


def test_test_images_are_in_no_fold_and_the_same_for_all() -> None:
    samples = {**grouped(*TWENTY), **grouped(("t", "a", 3), split="test")}
    for config in ({"test": 0.2}, {"test": 0.2, "group": "g"}, {}):
        every = [
            choose_splits(samples, SplitConfig.model_validate({**config, "folds": 3, "fold": k})) for k in (1, 2, 3)
        ]
        tests = [{key for key, split in splits.items() if split == "test"} for splits in every]
        assert tests[0] == tests[1] == tests[2]
        assert {f"t/a/{n}.png" for n in range(3)} <= tests[0]
        validates = Counter(key for splits in every for key, split in splits.items() if split == "val")
        assert validates == Counter(samples.keys() - tests[0])


def test_how_many_groups_and_images_each_part_has_is_said() -> None:
    data = load(grouped(*TWENTY), group="patient", val=0.25, test=0.2)
    groups = {
        part: len({data.groups[i.picture.name] for i in getattr(data, part)}) for part in ("train", "val", "test")
    }
    images = {part: len(getattr(data, part)) for part in groups}
    said = ", ".join(f"{part} {groups[part]} ({images[part]} images)" for part in groups)
    assert data.all_notes[-1] == f"groups: {said}"
    assert "25 % of every class, as whole groups by 'patient' allow, seed 0" in data.all_notes[0]
    assert load(grouped(*TWENTY), folds=4, fold=3).all_notes == (
        "val: 19 images set aside from train (fold 3 of 4, with its share of every class, seed 0)",
    )


def test_a_split_of_the_data_that_tears_groups_is_warned_of_by_name() -> None:
    data = load({**grouped(*TWENTY, split="train"), **grouped(("p3", "a", 2), split="val", start=50)}, group="patient")
    assert data.warnings[0] == (
        "the split that the data brings tears 1 group by 'patient' apart, so figures come out too good: "
        "p3 is in train and val"
    )
    assert len(data.val) == 2


def test_a_class_with_fewer_images_or_groups_than_folds_is_said() -> None:
    samples = grouped(*TWENTY, ("p0", "rare", 2), ("p1", "rare", 2))
    few = "not all 5 folds validate every class, where there are fewer {} than folds: rare ({})"
    assert few.format("images", 4) in load(samples, folds=5).warnings
    assert few.format("groups", 2) in load(samples, folds=5, group="patient").warnings
    assert not load(grouped(*TWENTY), folds=5).warnings


@pytest.mark.parametrize(
    ("samples", "split", "message"),
    [
        (
            grouped(("p", "a", 9), ("p", "b", 9)),
            {"group": "patient"},
            r"there is 1 group by 'patient', which is too few for 2 parts \(train, val\)",
        ),
        (
            grouped(*TWENTY[:4]),
            {"group": "patient", "test": 0.2},
            r"there are 2 groups by 'patient', .* 3 parts \(train, val, test\)",
        ),
        (
            grouped(*TWENTY[:6]),
            {"group": "patient", "folds": 4},
            "there are 3 groups by 'patient', which are too few for 4 folds; --folds 3 at most",
        ),
        (grouped(("", "a", 3)), {"folds": 4}, "3 images cannot be in 4 folds; --folds 3 at most"),
        (
            grouped(("p", "a", 9), ("q", "b", 9)),
            {"group": "patient"},
            r"one class only(.|\n)*groups by 'patient' are kept whole",
        ),
        (
            grouped(*TWENTY, ("p3", "rare", 1)),
            {"folds": 3},
            r"in fold \d of 3, what validates cannot be learnt from the others: 'rare' is no class",
        ),
        (
            grouped(*TWENTY, ("p3", "rare", 4)),
            {"folds": 3, "group": "patient"},
            r"what validates cannot be learnt(.|\n)*groups by 'patient' are kept whole",
        ),
        (
            {**grouped(*TWENTY), **grouped(("v", "a", 2), split="val")},
            {"folds": 3},
            r"the data says itself what validates \(2 images\).*Leave out --folds",
        ),
        ({"a": Sample(Path("/data/a.png"), "a")}, {"group": "patient"}, "with split.group, each sample has a group"),
    ],
)
def test_what_cannot_be_split_is_refused(samples: dict[str, Sample], split: dict[str, object], message: str) -> None:
    with pytest.raises(FtError, match=message):
        load(samples, **split)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"fold": 2}, "fold 2 of how many.*--folds 5 --fold 2"),
        ({"folds": 3, "fold": 4}, "there is no fold 4 of 3; they are numbered from 1 to 3"),
        ({"folds": 3, "val": 0.3}, "each of 3 folds validates on a share of 1/3, not of 0.3; leave out folds, or val"),
    ],
)
def test_folds_that_contradict_themselves_are_refused(split: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitConfig.model_validate(split)


def test_a_source_without_columns_says_so() -> None:
    plugins = source_alone(DataSource("plain", "for a test", load=lambda a, s: []))
    config = Config.model_validate({"backbone": "x:y", "data": "plain", "split": {"group": "patient"}})
    with pytest.raises(
        FtError, match=r"data source 'plain' has no columns, so none called 'patient'.*--data FILE\.csv"
    ):
        load_data(config, plugins)
