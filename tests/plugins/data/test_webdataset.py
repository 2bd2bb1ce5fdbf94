"""webdataset:PATTERN"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ft import FtError, Remark, Sample
from ft.config.schema import Config
from ft.data.pictures import Picture
from ft.data.source_cache import SourceFolder
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft_data.webdataset import Settings, load
from packed import encoded, write_tar, write_tars

MakeConfig = Callable[..., Config]


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., list[Sample]]:
    def loading(argument: str | Path, group: str | None = None, **settings: Any) -> list[Sample]:
        cache = SourceFolder(tmp_path / "cache")
        found = list(load(str(argument), Settings(**settings), cache, group))
        return [each for each in found if not isinstance(each, Remark)]

    return loading


@pytest.mark.parametrize("pattern", ["part-{00..01}.tar", "part-*.tar", "part-0{0,1}.tar", ""])
def test_images_are_read_where_they_lie_in_the_archives_of_a_pattern(
    pattern: str, loaded: Callable[..., list[Sample]], tmp_path: Path
) -> None:
    write_tars(tmp_path / "shards")
    samples = loaded(tmp_path / "shards" / pattern)
    assert [sample.key for sample in samples][5:7] == ["part-00.tar:005.png", "part-01.tar:006.png"]
    assert [sample.label for sample in samples] == ["cat", "dog"] * 6
    for number in (11, 0, 7):
        again = pickle.loads(pickle.dumps(samples[number].open))
        assert again() == encoded(number)


def test_a_class_is_a_number_a_text_or_a_value_of_json(loaded: Callable[..., list[Sample]], tmp_path: Path) -> None:
    said = {"label": "dog", "kind": "collie", "owner": "a"}
    tar = write_tar(
        tmp_path / "a.tar", {"x/1.left.png": encoded(1), "x/1.json": said, "x/1.txt": "text", "x/1.cls": "1"}
    )
    assert [sample.label for sample in loaded(tar)] == ["1"]
    assert [sample.label for sample in loaded(tar, classes=("cat", "dog"))] == ["dog"]
    assert [sample.label for sample in loaded(tar, label="txt")] == ["text"]
    assert [sample.label for sample in loaded(tar, label="json")] == ["dog"]
    assert [sample.label for sample in loaded(tar, label="json", label_key="kind")] == ["collie"]
    assert [sample.group for sample in loaded(tar, "owner")] == ["a"]
    assert [sample.key for sample in loaded(tar)] == ["a.tar:x/1.left.png"]


def test_splits_are_what_archives_are_called_where_all_are(loaded: Callable[..., list[Sample]], tmp_path: Path) -> None:
    for number, name in enumerate(("train-0", "train-1", "val-0")):
        write_tar(tmp_path / f"{name}.tar", {f"{number}.png": encoded(number), f"{number}.cls": "cat"})
    assert [sample.split for sample in loaded(tmp_path)] == ["train", "train", "val"]
    assert [sample.split for sample in loaded(tmp_path / "train-*.tar")] == [None, None]


@pytest.mark.parametrize(
    ("files", "settings", "said"),
    [
        ({"1.png": b"x"}, {}, r"nothing says the class of .*a.tar:1.png.*--set data.label=ENDING"),
        ({"1.png": b"x", "1.cls": "1", "2.png": b"x"}, {}, "a.tar:2.png has no .cls beside it"),
        ({"1.cls": "1"}, {}, r"a.tar:1 has no image, but \.cls"),
        ({"1.a.png": b"x", "1.b.png": b"x", "1.cls": "1"}, {}, "has several images: .*--set data.image=a.png"),
        ({"1.png": b"x", "1.json": {"a": 1}}, {}, "has no 'label', but a; .*--set data.label_key=KEY"),
        ({"1.png": b"x", "1.json": "{"}, {}, "the .json of a.tar:1.png cannot be read"),
        ({"1.png": b"x", "1.cls": "7"}, {"classes": ("a", "b")}, "is of class '7', and data.classes names .* 0 to 1"),
        (
            {"1.png": b"x", "1.cls": "1", "2.png": b"x", "2.cls": "1", "1.txt": "1"},
            {},
            "called 1 do not stand together",
        ),
    ],
)
def test_what_is_no_image_with_a_class_is_told(
    files: dict[str, Any], settings: dict[str, Any], said: str, loaded: Callable[..., list[Sample]], tmp_path: Path
) -> None:
    with pytest.raises(FtError, match=said):
        loaded(write_tar(tmp_path / "a.tar", files), **settings)


def test_an_archive_that_is_none_or_is_not_there_is_told(loaded: Callable[..., list[Sample]], tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(FtError, match=r"cannot read the archive .*a\.tar"):
        loaded(tmp_path / "a.tar")
    with pytest.raises(FtError, match=r"the pattern .*names .*a-1\.tar, which is no file"):
        loaded(tmp_path / "a-{1..2}.tar")
    with pytest.raises(FtError, match=r"which files\? Write webdataset:PATTERN"):
        loaded("")


def test_an_archive_that_changes_after_it_was_listed_gives_no_other_bytes(
    loaded: Callable[..., list[Sample]], tmp_path: Path
) -> None:
    (path,) = write_tars(tmp_path, count=1)
    first = loaded(path)[0]
    write_tars(tmp_path, count=1, each=8)
    assert first.open is not None
    with pytest.raises(ValueError, match="has changed since its images were listed"):
        first.open()
    assert len(loaded(path)) == 8


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now are taken for left alone."""
    monkeypatch.setattr("ft.data.known_files.SETTLED", 0)


def test_a_second_start_reads_no_image_of_archives_that_did_not_change(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: None
) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    paths, read, asked = write_tars(tmp_path / "shards"), Picture.read, list[str]()

    def reading(picture: Picture) -> Any:
        asked.append(picture.name)
        return read(picture)

    monkeypatch.setattr(Picture, "read", reading)
    config = tiny_config(data=f"webdataset:{tmp_path}/shards/part-*.tar")
    first = prepare(config, plugins, Display()).data
    assert len(asked) >= 12
    asked.clear()
    second = prepare(config, plugins, Display()).data
    assert (second.digests, asked) == (first.digests, [])
    os.utime(paths[1], (1, 1))
    prepare(config, plugins, Display())
    assert sorted(asked) == [f"part-01.tar:{number:03}.png" for number in range(6, 12)]


def test_an_image_that_cannot_be_read_is_named_by_archive_and_member_and_the_rest_trains(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    write_tars(tmp_path / "shards")
    write_tar(tmp_path / "shards" / "part-02.tar", {"bad.png": b"no image", "bad.cls": "cat"})
    keys = {"data": f"webdataset:{tmp_path}/shards", "machine__workers": 1, "cache__promise": "off"}
    with pytest.raises(FtError, match=r"1 of 13 images cannot be read:\n  part-02.tar:bad.png: "):
        prepare(tiny_config(**keys), plugins, Display())
    run, _ = finetune(tiny_config(run_dir=tmp_path / "r", images__bad="skip", **keys), plugins, Display())
    listed = (run.path / "images.csv").read_text()
    assert "part-00.tar:000.png,cat" in listed
    assert (listed.count(".tar:"), "bad" in listed) == (12, False)
