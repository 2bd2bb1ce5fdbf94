"""L-BFGS on kept features beside scikit-learn's LogisticRegression, the same objective to the same value.

    python benchmarks/linear_head.py

Data: the EfficientNet-Lite0 features of 1,968 photographs of solar cells [1968, 1280], computed by ft and kept. Both
minimise mean cross-entropy + penalty / 2 * |W|^2. Each is given the loosest tolerance of a ladder that brings its
objective within a ten-thousandth of the best that anybody reached; that fit is timed, in turn, and the median taken.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4)
CLOSE = 1e-4
ROUNDS = 3
Fit = tuple[np.ndarray, np.ndarray]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        inputs, labels = features(Path(name))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"{'penalty':>8}{'ft':>10}{'scikit-learn':>15}{'times':>8}   objective")
    for penalty in PENALTIES:
        compare(inputs, labels, penalty)


def compare(inputs: torch.Tensor, labels: torch.Tensor, penalty: float) -> None:
    fits = {"ft": ft_fits(inputs, labels, penalty), "scikit-learn": sklearn_fits(inputs, labels, penalty)}
    reached = {name: [objective(fit(), inputs, labels, penalty) for fit in ladder] for name, ladder in fits.items()}
    best = min(min(values) for values in reached.values())
    chosen = {}
    for name, ladder in fits.items():
        good = [fit for fit, value in zip(ladder, reached[name], strict=True) if value <= best * (1 + CLOSE)]
        chosen[name] = good[0] if good else None
    seconds: dict[str, list[float]] = {name: [] for name in fits}
    for _ in range(ROUNDS):
        for name, fit in chosen.items():
            if fit is not None:
                started = time.perf_counter()
                fit()
                seconds[name].append(time.perf_counter() - started)
    times = {name: statistics.median(values) if values else float("nan") for name, values in seconds.items()}
    ratio = times["scikit-learn"] / times["ft"]
    print(f"{penalty:8.0e}{times['ft']:9.3f}s{times['scikit-learn']:14.3f}s{ratio:8.1f}   {best:.6f}")


def ft_fits(inputs: torch.Tensor, labels: torch.Tensor, penalty: float) -> list[Callable[[], Fit]]:
    from ft.solving import fit_head

    def fit(tolerance: float) -> Fit:
        head = torch.nn.Linear(inputs.shape[1], int(labels.max()) + 1)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        fit_head(head, inputs, labels, penalty, torch.nn.functional.cross_entropy, tolerance)
        return head.weight.detach().numpy(), head.bias.detach().numpy()

    return [lambda tolerance=tolerance: fit(tolerance) for tolerance in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)]


def sklearn_fits(inputs: torch.Tensor, labels: torch.Tensor, penalty: float) -> list[Callable[[], Fit]]:
    from sklearn.linear_model import LogisticRegression

    x, y = inputs.numpy().astype(np.float64), labels.numpy()

    def fit(tolerance: float) -> Fit:
        # For two classes it has one column, ft two, of which each is half of it in the minimum: the same objective at
        # half the penalty.
        model = LogisticRegression(C=2 / (len(x) * penalty), tol=tolerance, max_iter=20000).fit(x, y)
        half = model.coef_ / 2
        return np.concatenate([-half, half]), np.concatenate([-model.intercept_ / 2, model.intercept_ / 2])

    return [lambda tolerance=tolerance: fit(tolerance) for tolerance in (1e-2, 1e-3, 1e-4, 1e-5)]


def objective(fit: Fit, inputs: torch.Tensor, labels: torch.Tensor, penalty: float) -> float:
    weight, bias = (torch.from_numpy(np.asarray(part, dtype=np.float64)) for part in fit)
    loss = torch.nn.functional.cross_entropy(inputs.double() @ weight.t() + bias, labels)
    return float(loss + 0.5 * penalty * weight.square().sum())


def features(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The features that a run of ft keeps, and the labels."""
    from ft.config import load_config
    from ft.data import load_data
    from ft.plugins import load_plugins

    flags = {"backbone": "efficientnet-lite:lite0", "data": "elpv", "split.val": 0.25}
    command = [
        *(sys.executable, "-c", "from ft.cli import main; main()", "run", "--backbone", "efficientnet-lite:lite0"),
        *("--data", "elpv", "--val-fraction", "0.25", "--freeze", "all", "--optimizer", "lbfgs"),
        *("--cache", "close", "--precision", "fp32", "--run-dir", str(folder / "run")),
    ]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "FT_CACHE": str(folder / "cache")})
    data = load_data(load_config(flags=flags), load_plugins())
    labels = torch.tensor([item.label for item in data.train])
    kept = [load_file(path)["feature0"] for path in (folder / "cache" / "features").glob("*.safetensors")]
    return next(tensor.float() for tensor in kept if len(tensor) == len(labels)), labels


if __name__ == "__main__":
    main()
