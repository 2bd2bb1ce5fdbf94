"""Names and archives that would lead out of the cache: nothing is written outside, and nothing wrong inside."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from faults.repetitions import times
from ft import FtError, Settings, WeightEntry
from ft.weights.cache import Cache
from ft_weights.local import fetch

CONTENT = b"\x80\x02}."
GOOD = {
    "file": "net.pth",
    "size": len(CONTENT),
    "sha256": hashlib.sha256(CONTENT).hexdigest(),
    "model": "m",
    "entry": "V1",
}
PIECES = ["..", "/", "\\", ".", "~", "C:", "//host/share/", "\0", "\n", "%2e%2e%2f", "\u2025", "a", "net.pth", " ",
          "x" * 300, "CON", "$HOME", "`id`", "${PATH}", "-rf", "\u202e", "file://", "\udcff"]  # fmt: skip


def names(seed: int, number: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(PIECES, k=rng.randint(1, 6))) for _ in range(number)]


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def archive(path: Path, manifest: Any, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as out:
        out.writestr("manifest.json", manifest if isinstance(manifest, bytes) else json.dumps(manifest))
        for name, content in members.items():
            out.writestr(zipfile.ZipInfo(name.replace("\0", "") or "x"), content)


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    return folder


def test_no_name_leads_out_of_the_cache(tmp_path: Path, inside: Path) -> None:
    cache = Cache(inside / "checkpoints", inside / "records")
    number, kept = times(500, 100), 0
    for name in names(0, number):
        with contextlib.suppress(FtError):
            path = cache.store(WeightEntry("V1", name), "x", lambda file: file.write(CONTENT))
            assert path.parent == cache.folder
            kept += 1
    outside = {name for name in everything(tmp_path) if not name.startswith("a/b/c/")} - {"a", "a/b", "a/b/c"}
    assert outside == set()
    print(f"\n{number} names: {kept} plain ones kept, {number - kept} refused, nothing written outside")


def test_no_member_of_a_bundle_is_written_by_its_own_name(tmp_path: Path, inside: Path) -> None:
    number, rng = times(500, 60), random.Random(1)
    for index, name in enumerate(names(1, number)):
        bundle, cache = inside / f"{index}.zip", Cache(inside / f"{index}.out", inside / "records")
        clean = name.encode("utf-8", "replace").decode()
        listed = {**GOOD, "file": rng.choice([clean, "net.pth"])}
        archive(bundle, {"format": 1, "weights": [listed]}, {f"weights/{clean}": CONTENT, clean: CONTENT})
        with contextlib.suppress(FtError):
            path = fetch(WeightEntry("V1", "net.pth"), str(bundle), Settings(), cache)
            assert path == cache.folder / "net.pth"
            assert path.read_bytes() == CONTENT
    outside = {n for n in everything(tmp_path) if not n.startswith("a/b/c/")} - {"a", "a/b", "a/b/c"}
    assert outside == set()
    assert {p.name for p in inside.glob("*.out/*")} <= {"net.pth"}
    print(f"\n{number} archives: nothing written outside")


def many(**changes: Any) -> dict[str, Any]:
    return {"format": 1, "weights": [{**GOOD, **changes}]}


@pytest.mark.parametrize(
    "manifest",
    [
        b"", b"{", b"[]", b"{}", b'{"format": 2, "weights": []}', b'{"format": 1, "weights": [5]}', b" " * 1_100_000,
        many(size=-1), many(size="4"), many(size=10**30), many(size=3), many(size=5), many(sha256=""),
        many(sha256="0" * 64), many(sha256=None), many(file=7), many(file="../net.pth"), many(more=1), b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_manifest_that_lies_is_an_error(inside: Path, manifest: Any) -> None:
    archive(inside / "b.zip", manifest, {"weights/net.pth": CONTENT})
    cache = Cache(inside / "out", inside / "records")
    with pytest.raises(FtError, match=r"b\.zip|net\.pth"):
        fetch(WeightEntry("V1", "net.pth"), str(inside / "b.zip"), Settings(), cache)
    assert not any(path.is_file() for path in (inside / "out").rglob("*"))


def test_an_archive_that_unpacks_to_more_than_it_says_is_cut_off(inside: Path) -> None:
    archive(inside / "b.zip", many(), {"weights/net.pth": CONTENT + bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(FtError, match="holds more than the 4 bytes"):
        fetch(
            WeightEntry("V1", "net.pth"), str(inside / "b.zip"), Settings(), Cache(inside / "out", inside / "records")
        )


def test_damaged_bundles_are_errors_never_tracebacks(inside: Path) -> None:
    archive(inside / "b.zip", many(), {"weights/net.pth": CONTENT})
    good, rng, refused, number = (inside / "b.zip").read_bytes(), random.Random(2), 0, times(1000, 200)
    for index in range(number):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        (inside / "b.zip").write_bytes(bad[: rng.randrange(len(bad))] if index % 4 == 0 else bad)
        cache = Cache(inside / f"{index}", inside / "records")
        try:
            path = fetch(WeightEntry("V1", "net.pth"), str(inside / "b.zip"), Settings(), cache)
        except FtError:
            refused += 1
        else:
            assert path.read_bytes() == CONTENT
    assert refused
    print(f"\n{number} damaged bundles: {refused} refused, the others gave the right file, no traceback")
