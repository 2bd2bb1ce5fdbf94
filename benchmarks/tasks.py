"""Three tasks on one set of photographs, ft beside scikit-learn's own linear models on the same features.

    python benchmarks/tasks.py [--cache close] [--folder build/bench/tasks] [--out build/bench/tasks.json]

Data: 2,624 photographs of solar cells at 224 px, a quarter of them set aside to validate, by each task for itself. The
tasks: defective or functional; defective and monocrystalline as two labels; the published probability of a defect as a
number. The network: EfficientNet-Lite0 with ImageNet weights. Three ways: the last stage and the head train with AdamW,
the head alone by L-BFGS, the head alone with AdamW; all runs share one FT_CACHE, so only the first may decode an image.
That is counted twice, by report.json and by Pillow's own calls in every process, and anything else ends this with an
error, once all is written.

Beside them: linear_models.py. Epochs and penalties are chosen on the very images that are measured, for everybody.
Figures are those of the best epoch or penalty, on the kept features that scikit-learn is given, too. This can be
stopped and called again: a run that is finished in the folder is not run again, one that is not goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from linear_models import Row, Split, models

HERE = Path(__file__).parent
MODEL, WIDTH = "efficientnet-lite:lite0", 1280
VAL = 0.25


@dataclass(frozen=True)
class Cells:
    """What is learnt of the cells: `label` is the setting of the data source, `figures` those that are told."""

    task: str
    label: str
    figures: tuple[str, ...]


CELLS = {
    "defective": Cells("classification", "defective", ("accuracy", "macro_f1")),
    "both": Cells("multilabel", "both", ("mean_average_precision", "macro_f1")),
    "probability": Cells("regression", "probability", ("mae", "rmse", "r2")),
}
LAST_STAGE = ("--freeze", "depth:-1", "--augment", "none", "--lr", "0.0003", "--head-lr", "0.003")
WAYS = {
    "last stage and head, AdamW": LAST_STAGE,
    "head, L-BFGS": ("--freeze", "all", "--optimizer", "lbfgs"),
    "head, AdamW": ("--freeze", "all", "--lr", "0.003"),
}
SQUARED = ("head, L-BFGS, squared loss", (*WAYS["head, L-BFGS"], "--set", "task.loss=squared"))


def main() -> None:
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    about = {
        "arguments": {key: str(value) for key, value in vars(args).items()},
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("ftkit", "torch", "torchvision", "scikit-learn")},
        "load": os.getloadavg(),
    }
    print(f"{about['machine']}, torch {version('torch')}, scikit-learn {version('scikit-learn')}; seed {args.seed}")
    rows: list[Row] = []
    counts: list[dict[str, Any]] = []

    def keep() -> None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({**about, "rows": [asdict(row) for row in rows], "runs": counts}, indent=1))

    for way, flags in [*WAYS.items(), SQUARED]:
        for name, cells in CELLS.items():
            if way == SQUARED[0] and cells.task != "regression":
                continue
            report, counted = run(name, way, flags, args)
            rows.append(
                Row(
                    name,
                    f"ft: {way}",
                    {figure: report["chosen_by"][figure] for figure in cells.figures},
                    chosen(report),
                )
            )
            counts.append(counted)
            print(f"{name}, {way}: {rows[-1].figures}, {counted}", flush=True)
            keep()
    features = embedded(args)
    for name, cells in CELLS.items():
        for row in models(name, split(cells, features)):
            rows.append(row)
            print(f"{name}, {row.model}: {row.figures}, {row.chosen}", flush=True)
            keep()
    show(rows)
    again = [each for each in counts[1:] if each["decoded"] or each["decoded_by_pillow"]]
    assert not again, f"these should have decoded nothing: {again}"


def run(name: str, way: str, flags: tuple[str, ...], args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's report, and what was computed and decoded for it; an earlier one's where it is finished."""
    cells, own = CELLS[name], args.folder / named(name, way)
    epochs = args.last_epochs if flags == LAST_STAGE else args.epochs
    command = [sys.executable, HERE / "counting_ft.py", "run", "--backbone", MODEL, "--data", "elpv"]
    command += ["--set", f"data.label={cells.label}", "--task", cells.task, "--val-fraction", VAL, *flags]
    command += [*([] if "lbfgs" in flags else ["--epochs", epochs]), "--seed", args.seed]
    command += ["--cache", args.cache, "--precision", "fp32", "--run-dir", own]
    if (own / "config.yaml").exists():
        command = [sys.executable, HERE / "counting_ft.py", "run", "--resume", own]
    decoded = args.folder / f"{own.name}.decoded"
    seconds = None
    if not (own / "report.json").exists():
        started = time.perf_counter()
        environ = {**os.environ, "FT_CACHE": str(args.folder / "cache"), "DECODED": str(decoded)}
        with (args.folder / f"{own.name}.log").open("w") as log:
            subprocess.run([str(part) for part in command], check=True, stdout=log, stderr=log, env=environ)
        seconds = time.perf_counter() - started
    report = json.loads((own / "report.json").read_text())
    cache = report["cache"]
    counted = {"run": own.name, "promise": cache["promise"], "computed": cache["computed"], "decoded": cache["decoded"]}
    counted |= {"decoded_by_pillow": decoded.stat().st_size, "seconds": seconds, "images": report["images"]}
    return report, counted


def chosen(report: Mapping[str, Any]) -> str:
    """What was chosen on the validation images."""
    if report["penalty"] is not None:
        return f"penalty {report['penalty']:g}"
    return f"epoch {report['best_epoch']} of {report['epochs']}"


def embedded(args: argparse.Namespace) -> dict[str, np.ndarray]:
    """What the head reads of each photograph [1280], by its path: as the runs kept it, and where it was kept for a
    short batch alone, as `ft.load(RUN).embed` gives it."""
    from safetensors.numpy import load_file

    import ft

    kept: dict[str, np.ndarray] = {}
    for file in (args.folder / "cache" / "features").glob("*.safetensors"):
        tensors = load_file(file)
        if tensors["feature0"].shape[1:] == (WIDTH,):
            kept |= {
                name.tobytes().hex(): row for name, row in zip(tensors["feature1"], tensors["feature0"], strict=True)
            }
    pictures = [item.picture for item in load(CELLS["defective"]).items]
    found = {str(each.path): kept.get(each.digest()) for each in pictures}
    missing = [path for path, row in found.items() if row is None]
    if missing:
        rows = ft.load(args.folder / named("defective", "head, L-BFGS")).embed(missing).numpy()
        found |= dict(zip(missing, rows, strict=True))
    return {path: row for path, row in found.items() if row is not None}


def named(name: str, way: str) -> str:
    """The folder of a run."""
    return f"{name}, {way}".replace(", ", "-").replace(" ", "-")


def split(cells: Cells, features: Mapping[str, np.ndarray]) -> Split:
    """The images that ft trains on and validates with for this task, and their labels as the data source gives them."""
    data = load(cells)
    parts = [
        ([features[str(item.picture.path)] for item in part], [item.label for item in part])
        for part in (data.train, data.val)
    ]
    (train, train_labels), (val, val_labels) = parts
    return Split(np.stack(train).astype(np.float64), train_labels, np.stack(val).astype(np.float64), val_labels)


def load(cells: Cells) -> Any:
    from ft.config.loading import load_config
    from ft.data.load import load_data
    from ft.extension.installed import load_plugins

    flags = {"backbone": MODEL, "data": {"use": "elpv", "label": cells.label}, "task": cells.task, "split.val": VAL}
    return load_data(load_config(flags=flags), load_plugins())


def show(rows: list[Row]) -> None:
    """A table of each task, in Markdown."""
    for name, cells in CELLS.items():
        print(f"\n{name}: `--set data.label={cells.label} --task {cells.task}`\n")
        print(f"| | {' | '.join(cells.figures)} | chosen |\n|{'---|' * (len(cells.figures) + 2)}")
        for row in rows:
            if row.task == name:
                print(
                    f"| {row.model} | {' | '.join(written(row, figure) for figure in cells.figures)} | {row.chosen} |"
                )


def written(row: Row, figure: str) -> str:
    value = row.figures[figure]
    return f"{round(value, 3) + 0.0:.3f}" if figure in ("mae", "rmse", "r2") else f"{value:.1%}".replace("%", " %")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/bench/tasks"), help="runs, features and FT_CACHE")
    parser.add_argument("--out", type=Path, default=Path("build/bench/tasks.json"), help="JSON, written after each run")
    parser.add_argument("--cache", default="auto", help="the promise, as ft's --cache")
    parser.add_argument("--epochs", type=int, default=12, help="where the head alone trains with AdamW")
    parser.add_argument("--last-epochs", type=int, default=6, help="where the last stage trains")
    parser.add_argument("--seed", type=int, default=0, help="of training; the split's stays")
    return parser.parse_args()


if __name__ == "__main__":
    main()
