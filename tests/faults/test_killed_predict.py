"""`ft predict --out` that is killed and stopped at any moment, again and again, leaves the file of one that was not."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from faults.interrupted_commands import make_images, run_args, start, wait_for
from faults.repetitions import FULL, times

CASES = [(form, workers) for form in ("csv", "jsonl", "parquet") for workers in (0, 2)] if FULL else [("csv", 2)]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asked")
    for broken in make_images(folder / "images", 60)[::17]:
        broken.rename(broken.with_name(f"{broken.stem}\n{broken.stem}.png"))  # a row of two lines
    process = start(run_args("--epochs", "1"), folder)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    (folder / "images" / "cat" / "7.png").write_bytes(b"nothing")
    return folder


def asking(out: str, workers: int, *more: str) -> Sequence[str]:
    using = ("--trust-code", "--device", "cpu", "--batch-size", "3", "--bad-images", "skip", "--workers", str(workers))
    return ["predict", "r", "images", "--out", out, *using, *more]


@pytest.mark.parametrize(("form", "workers"), CASES)
def test_it_comes_to_the_same_bytes(form: str, workers: int, folder: Path) -> None:
    whole, out = (folder / f"{name}-{workers}.{form}" for name in ("whole", "answers"))
    process = start(asking(whole.name, workers), folder)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    draw, lines, stops = random.Random(0), Path(f"{out}.part.jsonl"), times(15, 2)

    def answered() -> int:
        return lines.read_bytes().count(b"\n") - 1 if lines.exists() else 0

    for stop in range(stops):
        if (there := answered()) > 110:
            break
        until = draw.randrange(there, min(118, there + 25))
        process = start(asking(out.name, workers, "--resume"), folder)
        wait_for(lambda until=until: out.exists() or answered() > until, process)  # type: ignore[misc]
        which = SIGNALS[stop % len(SIGNALS)]
        os.killpg(process.pid, which)
        _, told = process.communicate(timeout=30)
        print(f"{which.name} behind {until} rows: {told.strip().splitlines()[-1:]}")
        assert "Traceback" not in told
        assert process.returncode in (-which, 128 + which, 0), told
        if out.exists():
            out.unlink()  # it was faster
    process = start(asking(out.name, workers, "--resume"), folder)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "1 of 120 images have no answer:" in told
    assert out.read_bytes() == whole.read_bytes()
    assert not list(folder.glob("*.part*"))
