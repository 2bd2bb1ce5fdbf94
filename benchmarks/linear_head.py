"""L-BFGS on kept features beside scikit-learn's LogisticRegression, the same objective to the same value.

    python benchmarks/linear_head.py [FEATURES.safetensors]

Data: the EfficientNet-Lite0 features of 1,968 photographs of solar cells [1968, 1280], computed by ft and kept; where
the file is given, they are read from it, or written to it the first time. Both minimise
mean cross-entropy + penalty / 2 * |W|^2 and must come within a millionth of the best that anybody reached.

ft fits as `ft run` does, without a tolerance to choose, and everything that it does with the features counts each time.
scikit-learn's time is that of the fastest among two solvers (lbfgs, its default, and newton-cholesky), float32 and
float64 input, each with the loosest tolerance of a ladder that gets there; the search for these does not count. In the
sweep, each of its fits starts from the minimum of the one before and chooses again: once with lbfgs alone, once among
both solvers. It fits one column for the two classes where ft fits two. Whoever needs more than MOST_ITERATIONS has not
reached it.

Seconds are of the processor, with one thread for everybody, and the least of several rounds: what else the machine does
disturbs them little.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ft_optim.lbfgs import LBFGSSettings, build as build_lbfgs

MINIMISER = partial(build_lbfgs, settings=LBFGSSettings())

PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
CLOSE = 1e-6
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6)
MOST_ITERATIONS = 10_000
SOLVERS = ("lbfgs", "newton-cholesky")
ROUNDS = 3


class Fit(NamedTuple):
    """Weight [C, D], bias [C], and how long it took."""

    weight: np.ndarray
    bias: np.ndarray
    seconds: float


class Choice(NamedTuple):
    """What scikit-learn is given, and how it is done again."""

    name: str
    again: Callable[[], Fit]
    first: Fit


class Problem:
    """The features and labels, and the value of any fit to them."""

    def __init__(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        self.inputs, self.labels = inputs, labels
        self.arrays = {"float32": inputs.numpy(), "float64": inputs.numpy().astype(np.float64)}

    def objective(self, fit: Fit, penalty: float) -> float:
        weight, bias = (torch.from_numpy(np.asarray(part, dtype=np.float64)) for part in fit[:2])
        loss = torch.nn.functional.cross_entropy(self.inputs.double() @ weight.t() + bias, self.labels)
        return float(loss + 0.5 * penalty * weight.square().sum())


def main() -> None:
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    with threadpool_limits(1):
        measure()


def measure() -> None:
    with tempfile.TemporaryDirectory() as name:
        problem = Problem(*features(Path(name), Path(sys.argv[1]) if len(sys.argv) > 1 else None))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    ft_sweep(problem, PENALTIES[:1])  # warms up
    minima = [problem.objective(fit, penalty) for penalty, fit in zip(PENALTIES, exact(problem), strict=True)]

    print(f"one fit from zero, beside scikit-learn's solvers\n{'penalty':>8}{'ft':>10}", end="")
    print("".join(f"{solver:>18}{'times':>8}{'':10}" for solver in SOLVERS), flush=True)
    for penalty, minimum in zip(PENALTIES, minima, strict=True):
        compare(problem, penalty, minimum)

    print("the sweep, each fit from the one before")
    ft_seconds, fits = [], []
    for _ in range(ROUNDS):
        started = time.process_time()
        fits = ft_sweep(problem, PENALTIES)
        ft_seconds.append(time.process_time() - started)
    far = [p for p, fit, best in zip(PENALTIES, fits, minima, strict=True) if not near(problem, fit, p, best)]
    mine = min(ft_seconds)
    print(f"{'ft':16}{mine:9.3f}s")
    for name, solvers in {"lbfgs": SOLVERS[:1], "the best of both": SOLVERS}.items():
        print(f"{name:16}{sweep(problem, minima, solvers, mine)}", flush=True)
    print(f"ft missed the objective at {far}" if far else f"all within {CLOSE:.0e} of the lowest objective")


def sweep(problem: Problem, minima: list[float], solvers: tuple[str, ...], ft_seconds: float) -> str:
    """What scikit-learn's `solvers` take for all penalties, each fit from the one before, in words."""
    choices: list[Choice] = []
    for penalty, minimum in zip(PENALTIES, minima, strict=True):
        found = fastest(problem, penalty, minimum, choices[-1].first if choices else None, solvers)
        if isinstance(found, str):
            done = sum(choice.first.seconds for choice in choices)
            return f"{done:9.3f}s, then penalty {penalty:.0e} {found}"
        choices.append(found)
    seconds = min(sum(choice.again().seconds for choice in choices) for _ in range(ROUNDS))
    return f"{seconds:9.3f}s{seconds / ft_seconds:8.1f}   {', '.join(choice.name for choice in choices)}"


def compare(problem: Problem, penalty: float, minimum: float) -> None:
    """One row: all from zero, timed in turn, the least of the rounds."""
    found = {solver: fastest(problem, penalty, minimum, None, (solver,)) for solver in SOLVERS}
    mine: list[float] = []
    others: dict[str, list[float]] = {solver: [] for solver in SOLVERS}
    for _ in range(ROUNDS):
        started = time.process_time()
        fit = ft_sweep(problem, [penalty])[0]
        mine.append(time.process_time() - started)
        for solver, choice in found.items():
            if isinstance(choice, Choice):
                others[solver].append(choice.again().seconds)
    ft = min(mine)
    row = f"{penalty:8.0e}{ft:9.3f}s" if near(problem, fit, penalty, minimum) else f"{penalty:8.0e}{'missed':>10}"
    for solver, seconds in others.items():
        row += f"{min(seconds):17.3f}s{min(seconds) / ft:8.1f}" if seconds else f"{'not reached':>18}{'':8}"
        row += f" ({found[solver].name.split()[1]})" if isinstance(found[solver], Choice) else f"{'':10}"
    print(row, flush=True)


def near(problem: Problem, fit: Fit, penalty: float, minimum: float) -> bool:
    return problem.objective(fit, penalty) <= minimum * (1 + CLOSE)


def ft_sweep(problem: Problem, penalties: tuple[float, ...] | list[float], tolerance: float = 1e-6) -> list[Fit]:
    from ft.training.logistic import fit_head, make_regression
    from ft_tasks.cross_entropy import CrossEntropy

    head = torch.nn.Linear(problem.inputs.shape[1], int(problem.labels.max()) + 1)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    regression = make_regression(problem.inputs, problem.labels, CrossEntropy(None, 0.0))
    fits = []
    for penalty in penalties:
        started = time.process_time()
        fit_head(head, regression, penalty, tolerance=tolerance, minimiser=MINIMISER)
        weight, bias = (tensor.detach().numpy().copy() for tensor in (head.weight, head.bias))
        fits.append(Fit(weight, bias, time.process_time() - started))
    return fits


def exact(problem: Problem) -> list[Fit]:
    """The lowest anybody gets: ft's, with a tolerance a hundred times as strict; `fastest` says if others get lower."""
    return ft_sweep(problem, PENALTIES, tolerance=1e-8)


def fastest(
    problem: Problem, penalty: float, minimum: float, start: Fit | None, solvers: tuple[str, ...]
) -> Choice | str:
    """What of scikit-learn's `solvers` reaches the minimum soonest, or words that nothing does."""
    reached, spent = [], 0.0
    for solver in solvers:
        for dtype in problem.arrays:
            for tolerance in TOLERANCES:

                def again(solver: str = solver, dtype: str = dtype, tolerance: float = tolerance) -> Fit:
                    return sklearn_fit(problem, penalty, solver, dtype, tolerance, start)[0]

                fit, ended = sklearn_fit(problem, penalty, solver, dtype, tolerance, start)
                spent += fit.seconds
                assert problem.objective(fit, penalty) >= minimum * (1 - CLOSE), "the minimum was none"
                if near(problem, fit, penalty, minimum):
                    reached.append(Choice(f"{solver} {dtype}", again, fit))
                if near(problem, fit, penalty, minimum) or not ended:
                    break
    if not reached:
        return f"not reached in {spent:.0f} s of trials, none of more than {MOST_ITERATIONS} iterations"
    return min(reached, key=lambda choice: choice.first.seconds)


def sklearn_fit(
    problem: Problem, penalty: float, solver: str, dtype: str, tolerance: float, start: Fit | None
) -> tuple[Fit, bool]:
    """A fit, and whether it ended by itself."""
    from sklearn.linear_model import LogisticRegression

    # For two classes it has one column, ft two, of which each is half of it in the minimum: the same objective at half
    # the penalty.
    model = LogisticRegression(
        C=2 / (len(problem.labels) * penalty),
        tol=tolerance,
        max_iter=MOST_ITERATIONS,
        solver=solver,
        warm_start=start is not None,
    )
    array = problem.arrays[dtype]
    if start is not None:
        model.coef_ = (start.weight[1:] - start.weight[:1]).astype(array.dtype)
        model.intercept_ = (start.bias[1:] - start.bias[:1]).astype(array.dtype)
        model.classes_ = np.arange(2)
    started = time.process_time()
    with warnings.catch_warnings(record=True) as said:  # that it was singular, or that iterations ran out
        warnings.simplefilter("always")
        model.fit(array, problem.labels.numpy())
    seconds = time.process_time() - started
    fit = Fit(
        np.concatenate([-model.coef_, model.coef_]) / 2,
        np.concatenate([-model.intercept_, model.intercept_]) / 2,
        seconds,
    )
    return fit, not said


def features(folder: Path, file: Path | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The features that a run of ft keeps, and the labels."""
    if file is not None and file.exists():
        saved = load_file(file)
        return saved["features"], saved["labels"]

    from ft.config.loading import load_config
    from ft.data.load import load_data
    from ft.extension.installed import load_plugins

    flags = {"backbone": "efficientnet-lite:lite0", "data": "elpv", "split.val": 0.25}
    command = [
        *(sys.executable, "-c", "from ft.cli import main; main()", "run", "--backbone", "efficientnet-lite:lite0"),
        *("--data", "elpv", "--val-fraction", "0.25", "--freeze", "all", "--optimizer", "lbfgs"),
        *("--cache", "close", "--precision", "fp32", "--run-dir", str(folder / "run")),
    ]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "FT_CACHE": str(folder / "cache")})
    data = load_data(load_config(flags=flags), load_plugins())
    labels = torch.tensor([item.target for item in data.train])
    kept = [load_file(path)["feature0"] for path in (folder / "cache" / "features").glob("*.safetensors")]
    inputs = next(tensor.float() for tensor in kept if len(tensor) == len(labels))
    if file is not None:
        save_file({"features": inputs, "labels": labels}, file)
    return inputs, labels


if __name__ == "__main__":
    main()
