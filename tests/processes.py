"""Runs of ft in several processes, started as torchrun starts them."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from warm_python import WarmProcess, start

FT = "from ft.cli import main; main()"


def start_all(arguments: Sequence[str], world: int, cwd: Path, program: str = FT, **environ: str) -> list[WarmProcess]:
    """Start `ft` with these arguments in `world` processes that can find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1"}
    common |= {"MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", **environ}
    return [start(program, arguments, cwd, **common, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(world)]


def run_all(arguments: Sequence[str], world: int, cwd: Path, **environ: str) -> list[str]:
    """Run `ft` so, and return what each process printed and complained of. Fails where one of them does."""
    started = start_all(arguments, world, cwd, **environ)
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * world, "\n".join(out + err for out, err in said)
    return [out + err for out, err in said]


def figures(folder: Path) -> list[dict[str, Any]]:
    """What metrics.jsonl says of each epoch, but for seconds, and a penalty that nobody chose."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name not in ("seconds", "penalty")} for line in lines]
