"""What a start of ft costs against the number of images, and a run against the number of classes.

    python benchmarks/scaling.py [--images 1000 10000 100000] [--classes 10 100 1000] [--keep FOLDER]

Images are PNGs of 16 x 16 pixels and about 0.8 kB, each another, a thousand in a class folder; a million of them take
4 GB and a million inodes. With --keep, they stay in FOLDER and are found there the next time. Each number of images is
measured in a process of its own: the listing and splitting, the first check, a second one of unchanged files, and the
list that a run keeps (images.csv). Each number of classes is a whole `ft run` of two epochs with two images a class,
on a ResNet-18 with random weights of which the head trains. Seconds are the processor's, of all threads, beside those
on the clock, since others may work on the machine. The exponent is that of the power of the number by which the last
two figures differ: 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

IN_FOLDER = 1000
SIDE = 16


def png(number: int) -> bytes:
    """An image of noise that is no other number's."""
    drawn = random.Random(number)
    rows = b"".join(b"\0" + drawn.randbytes(3 * SIDE) for _ in range(SIDE))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def folder_of_images(place: Path, count: int, each: int) -> Path:
    """A folder of so many images, `each` in a class folder; made where it is not there."""
    folder = place / f"{count}-by-{each}"
    if not folder.exists():
        aside = folder.with_suffix(".made")
        for number in range(count):
            inside = aside / f"class{number // each:05}"
            if number % each == 0:
                inside.mkdir(parents=True, exist_ok=True)
            (inside / f"{number:07}.png").write_bytes(png(number))
        aside.rename(folder)
    return folder


def start(folder: str) -> dict[str, Any]:
    """Measure the start of a run, in this process."""
    import torch  # noqa: F401 (what it takes is not the images')

    from ft.config.schema import Config
    from ft.data.image_list import write_image_list
    from ft.data.load import load_data
    from ft.data.readable import check_images
    from ft.extension.installed import load_plugins

    config = Config.model_validate({"backbone": {"use": "torchvision:resnet18"}, "data": {"use": folder}})
    plugins, found = load_plugins(), dict[str, Any]()
    before = _resident()

    def phase(name: str, work: Callable[[], Any]) -> Any:
        began, clock = time.process_time(), time.perf_counter()
        got = work()
        found[name] = {
            "cpu": time.process_time() - began,
            "clock": time.perf_counter() - clock,
            "held": _resident() - before,
        }
        return got

    data = phase("list", lambda: load_data(config, plugins))
    checked = phase("check", lambda: check_images(data, "fail"))
    checked = phase("check again", lambda: check_images(data, "fail"))
    with tempfile.TemporaryDirectory() as kept:
        phase("images.csv", lambda: write_image_list(Path(kept) / "images.csv", checked))
    found["peak"] = {"held": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before}
    return found


def run_of(folder: Path, cache: Path) -> dict[str, Any]:
    """A whole run, in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        command = [
            *(sys.executable, "-m", "ft", "run", "--backbone", "torchvision:resnet18", "--weights", "none"),
            *("--freeze", "all", "--image-size", "32", "--epochs", "2", "--batch-size", "256", "--workers", "0"),
            *("--data", str(folder), "--run-dir", f"{place}/run", "--val-fraction", "0.5"),
        ]
        clock = time.perf_counter()
        process = subprocess.Popen(command, env=_environ(cache), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        said = process.stderr.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(said)
        sizes = {name.name: name.stat().st_size for name in Path(place, "run").iterdir() if name.is_file()}
    return {
        "run": {
            "cpu": used.ru_utime + used.ru_stime,
            "clock": time.perf_counter() - clock,
            "held": used.ru_maxrss * 1024,
        },
        "report.json": {"held": sizes["report.json"]},
        "report.html": {"held": sizes["report.html"]},
    }


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _environ(cache: Path) -> dict[str, str]:
    return {**os.environ, "FT_CACHE": str(cache), "OMP_NUM_THREADS": "1"}


def told(what: str, found: dict[int, dict[str, Any]]) -> None:
    """Print a table of what was found for each number, and the exponents."""
    counts = list(found)
    print(f"\n{what:18}" + "".join(f"{count:>22,}" for count in counts) + f"{'exponent':>10}")
    for name in found[counts[0]]:
        for unit, scale, mark in (("cpu", 1.0, "s"), ("held", 1e6, "MB")):
            if unit not in found[counts[0]][name]:
                continue
            figures = [found[count][name][unit] / scale for count in counts]
            cells = [f"{figure:.2f} {mark}" for figure in figures]
            if unit == "cpu":
                clocks = [found[count][name]["clock"] for count in counts]
                cells = [f"{cell} ({clock:.1f} s)" for cell, clock in zip(cells, clocks, strict=True)]
            print(f"{name:18}" + "".join(f"{cell:>22}" for cell in cells) + f"{exponent(counts, figures):>10}")


def exponent(counts: Sequence[int], figures: Sequence[float]) -> str:
    if len(counts) < 2 or min(figures[-2:]) <= 0:
        return "-"
    return f"{math.log(figures[-1] / figures[-2]) / math.log(counts[-1] / counts[-2]):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--classes", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--start", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.start:
        print(json.dumps(start(asked.start)))
        return
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        place, found = asked.keep or Path(temporary), dict[int, dict[str, Any]]()
        for count in asked.images:
            folder = folder_of_images(place, count, min(IN_FOLDER, count // 2))
            with tempfile.TemporaryDirectory() as cache:
                answer = subprocess.run(
                    [sys.executable, __file__, "--start", str(folder)],
                    env=_environ(Path(cache)),
                    stdout=subprocess.PIPE,
                    check=True,
                ).stdout
            found[count] = json.loads(answer)
        if found:
            told("images", found)
        found = {}
        for count in asked.classes:
            folder = folder_of_images(place, 2 * count, 2)
            with tempfile.TemporaryDirectory() as cache:
                found[count] = run_of(folder, Path(cache))
        if found:
            told("classes", found)


if __name__ == "__main__":
    main()
