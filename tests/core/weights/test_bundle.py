from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from ft.errors import FtError
from ft.weights.bundle import Bundled, copy_out, read_manifest, write_bundle


def item(folder: Path, name: str, content: bytes) -> tuple[Bundled, Path]:
    (folder / name).write_bytes(content)
    return Bundled(name, len(content), hashlib.sha256(content).hexdigest(), "x:net", "V1"), folder / name


def test_what_is_put_in_comes_out(tmp_path: Path) -> None:
    files = dict([item(tmp_path, "b.pth", b"bb"), item(tmp_path, "a.pth", b"a" * 3_000_000)])
    write_bundle(tmp_path / "out.zip", files)
    held = read_manifest(tmp_path / "out.zip")
    assert list(held) == ["a.pth", "b.pth"]
    for each, path in files.items():
        assert held[each.file] == each
        target = io.BytesIO()
        copy_out(tmp_path / "out.zip", each, target)
        assert target.getvalue() == path.read_bytes()


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    files = [item(tmp_path, "b.pth", b"bb"), item(tmp_path, "a.pth", b"a")]
    write_bundle(tmp_path / "one.zip", dict(files))
    write_bundle(tmp_path / "two.zip", dict(reversed(files)))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_another_file_is_told_as_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"hello")
    with pytest.raises(FtError, match=r"x\.zip is no bundle of weights \(ft weights bundle makes them\)"):
        read_manifest(tmp_path / "x.zip")
