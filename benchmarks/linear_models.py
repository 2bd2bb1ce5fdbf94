"""scikit-learn's own linear models on features, each penalty chosen on the validation images, as ft chooses its own.

Twice: on the features as they are, with ft's objective (LogisticRegression and Ridge at the penalty that means the
same; one for all labels), and as is usual, standardised by the training images, with a penalty for each label.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import metrics
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

PENALTIES = tuple(10.0**-power for power in range(1, 7))
"""Those of --optimizer lbfgs, of which half times the squared norm is added to the mean loss."""
ITERATIONS = 20_000
"""Of its L-BFGS, at most."""


@dataclass(frozen=True)
class Row:
    """How a model of a task did on its validation images, and what was chosen by them."""

    task: str
    model: str
    figures: Mapping[str, float]
    chosen: str = ""


@dataclass(frozen=True, eq=False)
class Split:
    """Features [N, D] in float64 and labels as the data source gives them."""

    train: np.ndarray
    train_labels: Sequence[Any]
    val: np.ndarray
    val_labels: Sequence[Any]

    def standardised(self) -> Split:
        scaler = StandardScaler().fit(self.train)
        return Split(scaler.transform(self.train), self.train_labels, scaler.transform(self.val), self.val_labels)


def models(name: str, split: Split) -> Iterator[Row]:
    """Yield the rows of the task of that name."""
    tried: Callable[[Split, bool], tuple[str, Mapping[str, float], str]] = {
        "defective": _classes,
        "both": _labels,
        "probability": _numbers,
    }[name]
    for usual in (False, True):
        model, figures, chosen = tried(split.standardised() if usual else split, usual)
        yield Row(name, f"scikit-learn: {model}, {'standardised' if usual else 'as ft'}", figures, chosen)
    yield from (Row(name, f"trivial: {model}", figures) for model, figures in _trivial(name, split))


def _classes(split: Split, usual: bool) -> tuple[str, Mapping[str, float], str]:
    n, found = len(split.train), []
    for penalty in PENALTIES:
        # ft has two columns, of which each is half of scikit-learn's one in the minimum
        model = _logistic(2 / (n * penalty), split.train, split.train_labels)
        said, sure = model.predict(split.val), model.predict_proba(split.val)
        figures = {
            "accuracy": float(metrics.accuracy_score(split.val_labels, said)),
            "macro_f1": float(metrics.f1_score(split.val_labels, said, average="macro")),
        }
        found.append((figures["accuracy"], -metrics.log_loss(split.val_labels, sure), figures, penalty))
    *_, figures, penalty = max(found, key=lambda each: each[:2])
    return "LogisticRegression", figures, f"penalty {penalty:g}"


def _labels(split: Split, usual: bool) -> tuple[str, Mapping[str, float], str]:
    names = list(split.train_labels[0])
    n, precisions, f1s = len(split.train), [], []
    for name in names:
        train, val = (np.array([int(each[name]) for each in part]) for part in (split.train_labels, split.val_labels))
        sure = [
            _logistic(1 / (n * len(names) * penalty), split.train, train).decision_function(split.val)
            for penalty in PENALTIES
        ]
        precisions.append([float(metrics.average_precision_score(val, each)) for each in sure])
        f1s.append([_best_f1(val, each) for each in sure])
    precision, f1 = np.array(precisions), np.array(f1s)
    best = precision.argmax(1) if usual else np.full(len(names), precision.mean(0).argmax())
    rows = np.arange(len(names))
    figures = {
        "mean_average_precision": float(precision[rows, best].mean()),
        "macro_f1": float(f1[rows, best].mean()),
    }
    chosen = dict.fromkeys(f"{PENALTIES[place]:g}" for place in best)
    return "LogisticRegression a label", figures, f"penalty {', '.join(chosen)}"


def _numbers(split: Split, usual: bool) -> tuple[str, Mapping[str, float], str]:
    train, val = (np.array([float(each) for each in part]) for part in (split.train_labels, split.val_labels))
    mean, deviation = train.mean(), train.std()
    found = []
    for penalty in PENALTIES:
        ridge = Ridge(alpha=len(train) * penalty).fit(split.train, (train - mean) / deviation)
        found.append((_number_figures(val, ridge.predict(split.val) * deviation + mean), penalty))
    figures, penalty = min(found, key=lambda each: each[0]["mae"])
    return "Ridge", figures, f"penalty {penalty:g}"


def _trivial(name: str, split: Split) -> Iterator[tuple[str, Mapping[str, float]]]:
    if name == "defective":
        classes, counts = np.unique(split.train_labels, return_counts=True)
        said = [classes[counts.argmax()]] * len(split.val_labels)
        f1 = float(metrics.f1_score(split.val_labels, said, average="macro"))
        yield (
            "the most frequent class",
            {
                "accuracy": float(metrics.accuracy_score(split.val_labels, said)),
                "macro_f1": f1,
            },
        )
    elif name == "both":
        share = np.array([[int(value) for value in each.values()] for each in split.val_labels]).mean(0)
        yield (
            "every image has both",
            {
                "mean_average_precision": float(share.mean()),
                "macro_f1": float((2 * share / (1 + share)).mean()),
            },
        )
    else:
        train, val = (np.array([float(each) for each in part]) for part in (split.train_labels, split.val_labels))
        for model, value in {"the mean": train.mean(), "the median": np.median(train)}.items():
            yield model, _number_figures(val, np.full(len(val), value))


def _number_figures(expected: np.ndarray, said: np.ndarray) -> Mapping[str, float]:
    return {
        "mae": float(metrics.mean_absolute_error(expected, said)),
        "rmse": float(metrics.root_mean_squared_error(expected, said)),
        "r2": float(metrics.r2_score(expected, said)),
    }


def _logistic(strength: float, features: np.ndarray, labels: Any) -> LogisticRegression:
    model = LogisticRegression(C=strength, tol=1e-5, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one that has not converged is none
        return model.fit(features, labels)


def _best_f1(expected: np.ndarray, sure: np.ndarray) -> float:
    """F1 at the threshold that is best for these very images."""
    precision, recall, _ = metrics.precision_recall_curve(expected, sure)
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())
