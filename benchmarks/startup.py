"""What starting ft costs, alone and with a hundred plugins, beside importing torch.

Run with:  python benchmarks/startup.py [--plugins 100] [--rounds 15]

Every plugin is a distribution of its own: an entry point, a module with a record, and an implementation that imports
torch. Commands are timed in turn, round by round, so that a slow moment of the machine falls on all of them; the table
shows medians. Exits with 1 when the plugins add a tenth or more to `ft --help`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOST = 1.10
FT = "from ft.cli import main; main()"
MODULE = """
from ft import FreezeStrategy, hookimpl

@hookimpl
def ft_freeze_strategies():
    yield FreezeStrategy("synthetic-{number}", "One of many", select="synthetic_{number}_select:select")
"""
IMPLEMENTATION = """
import torch

def select(backbone, argument, settings):
    return set(backbone.parameter_names())
"""


def install(folder: Path, plugins: int) -> None:
    for number in range(plugins):
        info = folder / f"synthetic_{number}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: synthetic-{number}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ft.plugins]\nsynthetic-{number} = synthetic_{number}\n")
        (folder / f"synthetic_{number}.py").write_text(MODULE.format(number=number))
        (folder / f"synthetic_{number}_select.py").write_text(IMPLEMENTATION)


def seconds(code: str, arguments: list[str], path: str) -> float:
    environ = {**os.environ, "PYTHONPATH": path}
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], env=environ, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--plugins", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder) / "many", options.plugins)
        alone, many = os.environ.get("PYTHONPATH", ""), str(Path(folder) / "many")
        commands = {
            "python -c pass": ("pass", [], alone),
            "ft --help": (FT, ["--help"], alone),
            f"ft --help, {options.plugins} plugins": (FT, ["--help"], many),
            "ft plugins": (FT, ["plugins"], alone),
            f"ft plugins, {options.plugins} plugins": (FT, ["plugins"], many),
            "python -c 'import torch'": ("import torch", [], alone),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for command in commands.values():
            seconds(*command)  # once unmeasured: bytecode is written, files are read into memory
        for _ in range(options.rounds):
            for name, command in commands.items():
                times[name].append(seconds(*command))
    medians = {name: statistics.median(each) for name, each in times.items()}
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {options.rounds} rounds")
    print(f"{'command':<28}{'median':>9}{'fastest':>10}{'of ft --help':>14}")
    for name, median in medians.items():
        print(f"{name:<28}{median:>8.3f}s{min(times[name]):>9.3f}s{median / medians['ft --help']:>13.2f}x")
    ratio = medians[f"ft --help, {options.plugins} plugins"] / medians["ft --help"]
    print(f"{options.plugins} plugins make ft --help take {ratio:.3f} times as long; at most {MOST} is promised")
    sys.exit(ratio >= MOST)


if __name__ == "__main__":
    main()
