"""Results as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ft.cli.layout import count, flops, print_matrix, print_pairs, print_table, size, times

MOST_CONFUSED = 12
"""A confusion matrix of more classes than this does not fit on a screen; the pairs that are confused most do."""
MANY_CLASSES = 40
"""A table of more classes than this is read by nobody; of them the worst are shown."""
WORST = 12
"""How many classes, and pairs of classes, are shown where there are more than fit."""

if TYPE_CHECKING:
    from ft.display import Display
    from ft.finetune import Prepared
    from ft.metrics import Evaluation
    from ft.plan import Plan
    from ft.report import Report
    from ft.runs import Run


def print_plan(ready: Prepared, display: Display) -> None:
    """The tree of stages and what becomes of each, then what training will do."""
    plan, console = ready.plan, display.out
    fitted = ready.config.training.optimizer == "lbfgs"
    total = plan.frozen_numel + plan.trainable_numel
    lines = [
        ("backbone", f"{plan.backbone}, {count(total)} parameters, images of {plan.image_size} px"),
        ("weights", plan.weights),
        *(("head", text) for text in plan.head),
        ("data", _data_line(ready)),
    ]
    print_pairs(lines, console)
    display.tell("")
    rows = [
        (
            stage.name,
            count(stage.numel),
            _state(stage.frozen_numel, stage.numel),
            _batchnorm(stage.batchnorm_fixed, stage.batchnorm_moving),
            ("fitted" if fitted and stage.lrs else ", ".join(f"{lr:.2g}" for lr in stage.lrs)) or "-",
            ", ".join(stage.rules) or ("always trains" if stage.name == "head" else "-"),
        )
        for stage in plan.stages
    ]
    print_table(
        ("stage", "parameters", "state", "BatchNorm", "learning rate", "decided by"),
        rows,
        right=("parameters", "learning rate"),
        squeeze="decided by",
        spare=() if any(stage.batchnorm_fixed or stage.batchnorm_moving for stage in plan.stages) else ("BatchNorm",),
        console=console,
    )
    if not fitted:
        headers = ("param group", "tensors", "parameters", "peak lr", "weight decay")
        groups = [
            (g.name, len(g.parameters), count(g.numel), f"{g.lr:.3g}", f"{g.weight_decay:.3g}") for g in plan.groups
        ]
        print_table(headers, groups, right=headers[1:], console=console)
    print_pairs(
        [
            (
                "trains",
                f"{count(plan.trainable_numel)} of {count(total)} parameters ({plan.trainable_numel / total:.1%})",
            ),
            ("steps", _steps(ready)),
            ("images", f"augmentation {plan.augment}"),
            ("machine", f"{plan.device}, {plan.precision}{_paces(plan)}"),
            *_cache_lines(plan),
            ("memory", _memory(ready)),
        ],
        console,
    )
    for note in plan.notes:
        display.say(note)
    for warning in plan.warnings:
        display.warn(warning)


def print_model(about: dict[str, Any], parameters: bool, display: Display) -> None:
    """Stages, parameter names and shapes, classifier, preprocessing, weights."""
    console = display.out
    prep = about["preprocessing"]
    print_pairs(
        [
            ("backbone", f"{about['name']}   from {about['distribution']}"),
            ("parameters", count(about["numel"])),
            *(("classifier", f"{path}: {text}") for path, text in about["head"].items()),
            ("features", about["feature_dim"]),
            (
                "images",
                f"resize to {prep['resize_size']} ({prep['interpolation']}), crop {prep['crop_size']}, "
                f"mean {tuple(prep['mean'])}, std {tuple(prep['std'])}",
            ),
        ],
        console,
    )
    display.tell("")
    rows: list[tuple[Any, ...]] = []
    for stage in about["stages"]:
        rows.append((stage["name"], ", ".join(stage["paths"]), "", count(stage["numel"])))
        if parameters:
            rows += [("", f"  {name}", "x".join(map(str, shape)), "") for name, shape in stage["parameters"].items()]
    print_table(("stage", "path", "shape", "parameters"), rows, right=("shape", "parameters"), console=console)
    weights = [
        (
            e["name"],
            e["file_name"],
            size(e["size"] or e.get("approximate_size")),
            e["sha256"] or "none published",
            e["url"] or e["source"],
        )
        for e in about["weights"]
    ]
    print_table(("weights", "file", "size", "sha256", "from"), weights, right=("size",), console=console)


def print_report(report: Report, run: Run, display: Display) -> None:
    """The saved model's figures, a row for every class, the proof of the freeze, and where the model lies.

    Then what may be unexpected about the figures, and what may be better still.
    """
    from ft.report import doubts, hints

    where = str(run.path / "report.json")
    display.tell("")
    print_evaluation(report.val, f"best epoch {report.best_epoch} of {report.epochs}, validation", where, display)
    if report.test is not None:
        print_evaluation(report.test, "test", where, display)
    proof = f"sha256 {report.frozen_digest_after[:12]} before and after"
    print_pairs(
        [
            ("frozen", f"{report.frozen_parameters:,} parameters, unchanged with their buffers ({proof})")
            if report.frozen_parameters
            else ("frozen", "nothing"),
            ("trained", f"{report.trainable_parameters:,} parameters in {report.seconds:.1f} s"),
            ("once", _cache_came_to(report)),
            ("run", str(run.path)),
            ("use it", f"ft predict {run.path} IMAGES"),
        ],
        display.out,
    )
    for doubt in doubts(report, run.path):
        display.warn(doubt)
    for hint in hints(report, run.path):
        display.say(hint)


def print_evaluation(evaluation: Evaluation, title: str, where: str, display: Display) -> None:
    """Loss, accuracy and macro F1, then the classes and what they were taken for.

    All of it where it fits on a screen; of many classes those that cost most, the rest being `where` it says.
    """
    display.tell(
        f"{title}: accuracy {evaluation.accuracy:.1%}, macro F1 {evaluation.macro_f1:.3f}, loss {evaluation.loss:.4f}"
    )
    display.tell("")
    few = len(evaluation.classes) <= MANY_CLASSES
    classes = evaluation.classes if few else evaluation.costliest()[:WORST]
    rows = [(c.name, f"{c.precision:.1%}", f"{c.recall:.1%}", f"{c.f1:.3f}", c.support) for c in classes]
    headers = ("class", "precision", "recall", "F1", "images")
    print_table(headers, rows, right=headers[1:], squeeze="class", console=display.out)
    mistakes = evaluation.mistakes
    if len(evaluation.classes) <= MOST_CONFUSED:
        print_matrix([each.name for each in evaluation.classes], evaluation.matrix(), display.out)
        return
    pairs = [(each.label, each.predicted, each.images) for each in mistakes[:WORST]]
    if pairs:
        print_table(("images of", "taken for", "times"), pairs, right=("times",), console=display.out)
    if left := _left_out(len(evaluation.classes) - len(classes), len(mistakes) - len(pairs)):
        display.tell(f"The worst come first; {left} are in {where}.")


def _left_out(classes: int, pairs: int) -> str:
    counted = ((classes, "classes"), (pairs, "pairs of classes"))
    return " and ".join(f"{number:,} more {what}" for number, what in counted if number > 0)


def _steps(ready: Prepared) -> str:
    plan = ready.plan
    if ready.config.training.optimizer == "lbfgs":
        penalties = ", ".join(f"{each:g}" for each in sorted(ready.config.training.penalties, reverse=True))
        return f"the head is fitted by L-BFGS with penalties {penalties}; the best on validation images stays"
    return f"{plan.epochs} epochs x {plan.steps_per_epoch} steps, warm-up over {plan.warmup_steps} steps"


def _paces(plan: Plan) -> str:
    tried = ", ".join(f"{pace:.3g} in {name}" for name, pace in plan.paces.items())
    return f" (images a second in a training step: {tried})" if tried else ""


def _cache_lines(plan: Plan) -> list[tuple[str, str]]:
    cache = plan.cache
    if cache.keeps == "nothing":
        return [("once", f"nothing is computed once: {cache.reason}")]
    if cache.keeps == "images":
        kept = f"{size(cache.bytes_per_image)} an image, {size(cache.bytes)} in {cache.kept}"
        return [("once", f"images are decoded once: {kept}; of the network nothing is computed once ({cache.reason})")]
    whole = cache.prefix_flops + cache.suffix_flops
    each = cache.suffix_flops * (3 * plan.images["train"] + plan.images["val"])  # gradients cost twice the forward pass
    return [
        (
            "once",
            f"{cache.prefix_flops / whole:.1%} of {flops(whole)} an image, "
            f"{flops(cache.prefix_flops * cache.images)} in all; {cache.promise} ({cache.reason})",
        ),
        ("each epoch", f"{flops(each)} for what follows"),
        (
            "cut",
            f"{', '.join(cache.tensors)}: {size(cache.bytes_per_image)} an image, {size(cache.bytes)} in {cache.kept}",
        ),
        ("ceiling", f"epochs {times(cache.ceiling)} as fast, once features are there"),
        *(("barrier", text) for text in cache.barriers[:3]),
    ]


def _memory(ready: Prepared) -> str:
    """What stays in memory while the network trains; what a step computes comes on top."""
    plan, cache = ready.plan, ready.plan.cache
    training = ready.config.training
    parts = [f"{size(4 * (plan.frozen_numel + plan.trainable_numel))} of weights"]
    if training.optimizer == "lbfgs":
        rows, width = plan.images["train"] * cache.views, plan.trainable_numel // len(plan.classes)
        rank = min(rows, width)  # of the features, all in float64, beside a Hessian and its factor
        parts.append(f"{size(8 * (rows * rank + 2 * rank**2))} to fit the head")
    else:
        states = {"adamw": 2, "sgd": int(training.momentum > 0)}[training.optimizer]
        parts.append(f"{size(4 * plan.trainable_numel * (1 + states))} of gradients and optimizer state")
    if cache.keeps == "features":
        parts[0] += " (what is computed once leaves memory then)"
    if cache.keeps != "nothing" and cache.kept == "memory":
        parts.append(f"{size(cache.bytes)} of {cache.keeps}")
    return ", ".join(parts) + "; a step's activations come on top"


def _cache_came_to(report: Report) -> str:
    cost = report.cache
    if cost.promise == "off":
        return f"nothing was computed once: {cost.reason}"
    if not cost.computed and cost.ceiling == 1.0:
        source = f"{cost.decoded} decoded in {cost.seconds:.1f} s" if cost.decoded else "found in the store"
        return f"images {source}; nothing of the network was computed once: {cost.reason}"
    source = f"computed for {cost.computed} images in {cost.seconds:.1f} s" if cost.computed else "found in the store"
    came_to = f"epochs {times(report.speedup)} as fast, " if report.speedup else ""
    return f"features {source}; {cost.promise}, {came_to}ceiling {times(cost.ceiling)}"


def _state(frozen: int, total: int) -> str:
    if total == 0:
        return "no parameters"
    if frozen == 0:
        return "trainable"
    if frozen == total:
        return "frozen"
    return f"{min(max(frozen / total, 0.01), 0.99):.0%} frozen"  # never 0 % or 100 % of what is frozen in part


def _batchnorm(fixed: int, moving: int) -> str:
    parts = [f"{fixed} fixed" if fixed else "", f"{moving} moving" if moving else ""]
    return ", ".join(part for part in parts if part) or "-"


def _data_line(ready: Prepared) -> str:
    images = ", ".join(f"{n} {split}" for split, n in ready.plan.images.items() if n)
    demo = " (ft's built-in demo set; give your own with --data PATH)" if ready.plan.data == "demo" else ""
    return f"{ready.plan.data}{demo}: {len(ready.plan.classes)} classes, {images} images"
