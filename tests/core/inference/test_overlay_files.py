"""Where overlays are written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from ft.errors import FtError
from ft.inference.overlay_files import overlay_paths, write_overlay


def named(paths: list[str], names: tuple[str, ...] = ("",)) -> list[str]:
    made = overlay_paths(list(map(Path, paths)), Path("o"), names)
    return [path.as_posix() for some in made for path in some.values()]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["photos/cat/1.jpg"], ["o/1.png"]),
        (["cat/1.jpg", "dog/1.jpg"], ["o/cat/1.png", "o/dog/1.png"]),
        (["a/b/1.jpg", "a/2.jpg"], ["o/b/1.png", "o/2.png"]),
        (["../x/1.jpg", "1.jpg"], ["o/x/1.png", f"o/{Path.cwd().name}/1.png"]),
        (["1.jpg", "1.png", "2.jpg"], ["o/1.jpg.png", "o/1.png.png", "o/2.png"]),
        (["1.jpg", "1.png", "1.jpg.png"], ["o/1.jpg.png", "o/1.png.png", "o/1.jpg-2.png"]),
        (["A.jpg", "a.jpg"], ["o/A.jpg.png", "o/a.jpg-2.png"]),
    ],
)
def test_each_overlay_has_a_file_of_its_own(paths: list[str], expected: list[str]) -> None:
    assert named(paths) == expected


def test_overlays_of_several_outputs_have_their_names_in_theirs() -> None:
    made = named(["1.jpg"], ("cat", "a/b", "A:b", ".."))
    assert made == ["o/1.cat.png", "o/1.a_b.png", "o/1.A_b-2.png", "o/1....png"]


def test_a_name_too_long_for_a_file_is_cut() -> None:
    (made,) = named(["é" * 125 + ".jpg"], ("n" * 300,))
    assert len(os.fsencode(made)) < 230


def test_only_overlays_are_written_over(tmp_path: Path) -> None:
    photo = tmp_path / "1.jpg"
    (overlay,) = overlay_paths([photo], tmp_path, [""])[0].values()
    write_overlay(Image.new("RGB", (4, 4)), overlay)
    assert overlay_paths([photo], tmp_path, [""])[0] == {photo: overlay}
    with pytest.raises(FtError, match="1 overlay would be written over an image that was given"):
        overlay_paths([overlay], tmp_path, [""])
    Image.new("RGB", (4, 4)).save(overlay)
    with pytest.raises(FtError, match=r"or a file that is no overlay of ft's; give --out another folder:\n.*1.png"):
        overlay_paths([photo], tmp_path, [""])
    overlay.write_bytes(b"nothing")
    with pytest.raises(FtError, match=r"1.png"):
        overlay_paths([photo], tmp_path, [""])


def test_an_overlay_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    to = tmp_path / "new" / "1.png"
    with pytest.raises(AttributeError):
        write_overlay(None, to)  # type: ignore[arg-type]
    assert list(to.parent.iterdir()) == []
