"""A start reads the files that changed, whatever they look like, and no others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from classified import image_data
from ft.data import pictures
from ft.data.decoding import Facts
from ft.data.known_files import SETTLED, state_of
from ft.data.load import ImageData, Item
from ft.data.pictures import Content, Picture
from ft.data.readable import check_images
from ft.errors import FtError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the test are as good as old."""
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("ft.data.known_files.SETTLED", 0)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read."""
    names: list[str] = []
    read = pictures.read_bytes

    def reading(path: Path, most: int) -> bytes:
        names.append(path.name)
        return read(path, most)

    monkeypatch.setattr(pictures, "read_bytes", reading)
    return names


def draw(path: Path, number: int) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8), (number, 0, 0)).save(path, compress_level=0)  # so that all are equally long


def photos(folder: Path, count: int = 6) -> ImageData:
    for number in range(count):
        draw(folder / f"{number}.png", number)
    return listed(folder)


def listed(folder: Path) -> ImageData:
    items = tuple(Item(Picture.at(path), number % 2) for number, path in enumerate(sorted(folder.iterdir())))
    return image_data(("a", "b"), items[:-2], items[-2:], (), "given")


def test_a_second_start_opens_no_file_that_did_not_change(tmp_path: Path, opened: list[str]) -> None:
    data = photos(tmp_path / "photos")
    first, reads = check_images(data, "fail"), len(opened)
    opened.clear()
    seen: list[int] = []
    assert check_images(data, "fail", seen.append).digests == first.digests
    assert (reads, opened) == (6, [])


def put_back(path: Path, change: Callable[[Path], object]) -> None:
    """Change a file, and set its time back."""
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def replaced(path: Path) -> None:
    draw(path.with_name("new.png"), 77)
    os.replace(path.with_name("new.png"), path)


@pytest.mark.skipif(os.name == "nt", reason="the time of a change is not kept there")
@pytest.mark.parametrize("change", [lambda path: draw(path, 77), replaced], ids=["in place", "replaced"])
def test_a_change_is_seen_though_size_and_time_are_the_same(
    change: Callable[[Path], object], tmp_path: Path, opened: list[str], decoded: list[Path]
) -> None:
    data = photos(tmp_path / "photos")
    first = check_images(data, "fail")
    opened.clear()
    decoded.clear()
    put_back(tmp_path / "photos" / "1.png", change)
    second = check_images(data, "fail")
    assert (opened, [path.name for path in decoded]) == (["1.png"], ["1.png"])
    changed = [name for name, digest in second.digests.items() if digest != first.digests[name]]
    assert changed == [str(tmp_path / "photos" / "1.png")]


def test_what_changed_a_moment_ago_is_read_again_and_not_decoded(
    tmp_path: Path, opened: list[str], decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ft.data.known_files.SETTLED", SETTLED)
    data = photos(tmp_path / "photos")
    for again in (False, True):
        opened.clear()
        decoded.clear()
        check_images(data, "fail")
        assert (len(opened), len(decoded)) == (6, 0 if again else 6)


def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = photos(tmp_path / "photos")
    read = pictures.read_bytes

    def changing(path: Path, most: int) -> bytes:
        content = read(path, most)
        if path.name == "2.png":
            draw(path, 78)
        return content

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "read_bytes", changing)
        first = check_images(data, "fail")
    opened.clear()
    second = check_images(data, "fail")
    assert opened == ["2.png"]
    name = data.train[2].picture.name
    assert first.digests[name] != second.digests[name]


def test_a_set_that_grew_decodes_what_is_new_and_one_that_was_renamed_nothing(
    tmp_path: Path, decoded: list[Path]
) -> None:
    check_images(photos(tmp_path / "photos"), "fail")
    decoded.clear()
    draw(tmp_path / "photos" / "10.png", 10)
    (tmp_path / "photos" / "0.png").unlink()
    check_images(listed(tmp_path / "photos"), "fail")
    assert [path.name for path in decoded] == ["10.png"]
    decoded.clear()
    for path in sorted((tmp_path / "photos").iterdir()):
        path.rename(path.with_name(f"renamed {path.name}"))
    check_images(listed(tmp_path / "photos"), "fail")
    assert decoded == []


def test_what_cannot_be_read_is_said_each_time_until_it_is_mended(tmp_path: Path) -> None:
    data = photos(tmp_path / "photos")
    bad = tmp_path / "photos" / "0.png"
    whole = bad.read_bytes()
    bad.write_bytes(b"no image")
    for _ in range(2):
        with pytest.raises(FtError, match=r"1 of 6 images cannot be read:\n.*0\.png: not an image"):
            check_images(data, "fail")
        assert len(check_images(data, "skip").items) == 5
    bad.write_bytes(whole)
    assert len(check_images(data, "fail").items) == 6


def flipped(content: bytes) -> bytes:
    place = content.index(b"digests") + 20
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def by_others(content: bytes) -> bytes:
    body = json.dumps({"names": 1}).encode()
    return content[:64] + b"\n" + body


@pytest.mark.parametrize("damage", [flipped, by_others, lambda _: b"", lambda content: content[:-9]])
def test_what_is_remembered_and_damaged_costs_time_only(
    damage: Callable[[bytes], bytes], tmp_path: Path, opened: list[str]
) -> None:
    data = photos(tmp_path / "photos")
    first = check_images(data, "fail")
    (remembered,) = (tmp_path / "cache" / "known").iterdir()
    remembered.write_bytes(damage(remembered.read_bytes()))
    opened.clear()
    assert check_images(data, "fail").digests == first.digests
    assert len(opened) == 6
    opened.clear()
    check_images(data, "fail")
    assert opened == []


def test_another_reader_reads_again(tmp_path: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    data = photos(tmp_path / "photos")
    check_images(data, "fail")
    decoded.clear()
    monkeypatch.setattr("PIL.__version__", "99")
    check_images(data, "fail")
    assert len(decoded) == 6


def test_files_that_are_gone_are_forgotten_once_they_are_many(tmp_path: Path) -> None:
    check_images(photos(tmp_path / "photos", count=20), "fail")
    for number in range(5, 20):
        (tmp_path / "photos" / f"{number}.png").unlink()
    draw(tmp_path / "photos" / "a.png", 99)
    check_images(listed(tmp_path / "photos"), "fail")
    (remembered,) = (tmp_path / "cache" / "known").iterdir()
    assert remembered.read_text().count(".png") == 6


def test_an_image_that_is_no_file_is_opened_each_time_and_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "photos" / "a.png", 1)
    content, asked, decodings = (tmp_path / "photos" / "a.png").read_bytes(), list[str](), list[str]()

    def opened(key: str) -> bytes:
        asked.append(key)
        return content + key.encode()

    def looking(picture: Picture, content: Content, _: object) -> tuple[None, Facts, None]:
        decodings.append(picture.name)
        return None, Facts(), None

    monkeypatch.setattr("ft.data.readable.examined", looking)
    items = tuple(Item(Picture(key, open=partial(opened, key)), number) for number, key in enumerate("abcd"))
    data = image_data(("a", "b"), items[:2], items[2:], (), "zipped")
    first = check_images(data, "fail")
    assert (sorted(asked), sorted(decodings)) == (list("abcd"), list("abcd"))
    assert check_images(data, "fail").digests == first.digests
    assert (len(asked), len(decodings)) == (8, 4)


def test_images_that_are_no_files_are_not_forgotten_where_a_part_of_them_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decodings: list[str] = []

    def looking(picture: Picture, content: Content, _: object) -> tuple[None, Facts, None]:
        decodings.append(picture.name)
        return None, Facts(), None

    monkeypatch.setattr("ft.data.readable.examined", looking)
    items = tuple(Item(Picture(key, open=key.encode), number % 2) for number, key in enumerate("abcdefgh"))
    whole = image_data(("a", "b"), items[:4], items[4:], (), "zipped")
    check_images(whole, "fail")
    check_images(image_data(("a", "b"), (), items[4:6], (), "zipped"), "fail")
    decodings.clear()
    check_images(whole, "fail")
    assert decodings == []


def test_what_is_not_there_looks_like_nothing(tmp_path: Path) -> None:
    assert state_of(str(tmp_path / "nothing")) == ""
