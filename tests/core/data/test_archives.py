"""Images in tar archives."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import random
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from PIL import Image

from ft.data.archives import is_archive, pictures_in
from ft.data.pictures import Picture
from ft.errors import FtError

KINDS = {"a.tar": "w", "a.tar.gz": "w:gz", "a.tgz": "w:gz", "a.tar.bz2": "w:bz2", "a.tar.xz": "w:xz"}


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (number, 0, 0)).save(file, "PNG")
    return file.getvalue()


def pack(path: Path, members: dict[str, bytes | tarfile.TarInfo], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name = name
            info.size = len(content) if isinstance(content, bytes) else 0
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo()
    made.type, made.linkname = kind, target
    return made


def number_in(picture: Picture) -> int:
    content = picture.read()
    assert isinstance(content, bytes)
    pixel = Image.open(io.BytesIO(content)).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return int(pixel[0])


@pytest.fixture(params=KINDS)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return pack(tmp_path / request.param, {f"in/{n}.png": png(n) for n in range(40)}, KINDS[request.param])


def test_images_come_in_the_order_of_the_archive_and_are_read_in_any(archive: Path) -> None:
    pictures = pictures_in(archive)
    assert [each.name for each in pictures] == [f"{archive}:in/{n}.png" for n in range(40)]
    assert {each.within for each in pictures} == {archive}
    drawn = random.Random(0).choices(range(40), k=60)
    assert [number_in(pictures[n]) for n in [*range(40), *drawn]] == [*range(40), *drawn]


def test_processes_and_threads_read_it_each_for_itself(archive: Path) -> None:
    pictures = pictures_in(archive)
    assert number_in(pictures[3]) == 3
    with get_context("fork").Pool(2) as pool:
        assert pool.map(number_in, pictures, chunksize=3) == [*range(40)]
    with ThreadPoolExecutor(4) as threads:
        assert [*threads.map(number_in, pictures)] == [*range(40)]
    assert number_in(pickle.loads(pickle.dumps(pictures[9]))) == 9


def test_a_compressed_archive_is_read_once_by_whoever_goes_through_it_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = pictures_in(pack(tmp_path / "a.tar.gz", {f"{n}.png": png(n) for n in range(40)}, "w:gz"))
    opened = []
    really = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda *given, **more: opened.append(1) or really(*given, **more))
    for begin in range(0, 40, 8):  # batches, and copies of their images behind each
        for _ in range(2):
            assert [number_in(each) for each in pictures[begin : begin + 8]] == [*range(begin, begin + 8)]
    assert len(opened) == 2


def test_nothing_that_is_named_unsafely_is_touched_and_hidden_ones_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    names = ["../above.png", f"{tmp_path}/absolute.png", "./a.png", "x\n\x1b[2J.png", "..png", ".b.png", ".c/d.png"]
    pictures = pictures_in(pack(Path("a.tar"), {name: png(7) for name in [*names, "notes.txt"]}))
    assert [each.name for each in pictures] == [f"a.tar:{name}" for name in names[:4]]
    assert [number_in(each) for each in pictures] == [7] * 4
    assert sorted(os.listdir(tmp_path)) == ["inside"]
    assert os.listdir(inside) == ["a.tar"]


def test_a_file_without_suffix_is_an_image_by_its_first_bytes(tmp_path: Path) -> None:
    pictures = pictures_in(pack(tmp_path / "a.tar", {"a": png(1), "b": b"text", "c.txt": png(2)}))
    assert [each.name for each in pictures] == [f"{tmp_path}/a.tar:a"]


def test_links_are_followed_in_the_archive_and_never_out_of_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(png(9))
    members: dict[str, bytes | tarfile.TarInfo] = {
        "in/first.png": link("../a.png"),
        "a.png": png(3),
        "hard.png": link("a.png", tarfile.LNKTYPE),
        "out.png": link(str(outside)),
        "pipe.png": link("", tarfile.FIFOTYPE),
    }
    first, _, hard, *others = pictures_in(pack(tmp_path / "a.tar", members))
    assert (number_in(first), number_in(hard)) == (3, 3)
    for each, said in zip(others, ("it is a link to .*outside.png, which is no file", "no plain file"), strict=True):
        with pytest.raises(ValueError, match=said):
            each.read()


@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz"])
@pytest.mark.parametrize("left", [0.0, 0.3, 0.6])
def test_a_damaged_archive_is_named(kind: str, left: float, tmp_path: Path) -> None:
    path = pack(tmp_path / kind, {f"{n}.png": os.urandom(2000) for n in range(20)}, KINDS[kind])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])
    with pytest.raises(FtError, match=rf"cannot read the archive .*{kind}: "):
        pictures_in(path)
    path.unlink()
    with pytest.raises(FtError, match=rf"cannot read the archive .*{kind}: No such file"):
        pictures_in(path)


@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz"])
def test_an_archive_that_changes_is_not_read_any_more(kind: str, tmp_path: Path) -> None:
    pictures = pictures_in(pack(tmp_path / kind, {"a.png": png(1)}, KINDS[kind]))
    pack(tmp_path / kind, {"b.png": png(2), "a.png": png(1)}, KINDS[kind])
    with pytest.raises(ValueError, match="has changed since its images were listed"):
        pictures[0].read()


@pytest.mark.parametrize("pack_", [bytes, gzip.compress])
def test_an_archive_that_was_cut_between_members_or_damaged_there_is_no_shorter_one(
    pack_: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    whole = pack(tmp_path / "a.tar", {f"{n}.png": png(n) for n in range(3)}).read_bytes()
    member = 1024  # a header, and the image in another block
    for content, said in (
        (whole[: 2 * member], "it was cut: the blocks of zeros are missing"),
        (whole[:member] + b"?" * 512 + whole[member + 512 :], "what stands between two members is damaged"),
    ):
        (tmp_path / "bad.tar").write_bytes(pack_(content))
        with pytest.raises(FtError, match=rf"cannot read the archive .*bad\.tar: {said}"):
            pictures_in(tmp_path / "bad.tar")
    (tmp_path / "one.tar").write_bytes(pack_(whole[: 3 * member + 512]))
    assert len(pictures_in(tmp_path / "one.tar")) == 3  # one block of zeros is an end


def test_an_archive_is_known_by_its_name_and_compression_by_its_content(tmp_path: Path) -> None:
    assert all(map(is_archive, [*KINDS, "A.TAR", Path("b.tar.GZ")]))
    assert not any(map(is_archive, ["a.zip", "tar", "a.tar.zip", "a.gz"]))
    assert number_in(pictures_in(pack(tmp_path / "not-really.tar", {"a.png": png(5)}, "w:gz"))[0]) == 5
