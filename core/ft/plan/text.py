"""A plan as people read it: what `ft plan` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ft.machine.distributed import processes_asked_for
from ft.machine.layout import Columns, count, flops, print_pairs, print_table, rate, size, times
from ft.plan.averaging import averaging_lines
from ft.plan.blending import blending_lines
from ft.plan.records import ADAPTER
from ft.text.counting import number_of
from ft.text.durations import as_duration

if TYPE_CHECKING:
    from ft.machine.display import Display
    from ft.plan.budget import Takes
    from ft.plan.records import Plan


def print_plan(plan: Plan, display: Display) -> None:
    """The tree of stages and what becomes of each, then what training will do."""
    print_phases((plan,), display)


def print_phases(plans: Sequence[Plan], display: Display, processes: int | None = None) -> None:
    """The plans of a run's phases, one under the other, below what is the same in all of them. They are carried out in
    so many `processes`, or in as many as there are."""
    first, total = plans[0], plans[0].frozen_numel + plans[0].trainable_numel
    lines = [
        *([("recipe", first.from_recipe)] if first.from_recipe else []),
        ("backbone", f"{first.backbone}, {count(total)} parameters, images of {first.image_size} px"),
        ("weights", first.weights),
        *(("head", text) for text in first.head),
        ("data", _data_line(first)),
        *([("time", first.budget)] if first.budget else []),
    ]
    print_pairs(lines, display.out, folded=True)
    for plan in plans:
        if plan.place.of > 1:
            display.tell("")
            display.tell(f"{plan.place}, epochs {plan.place.begins + 1} to {plan.epochs}")
        display.tell("")
        _print_phase(plan, display, processes or processes_asked_for().world)
    for note in first.notes:
        display.say(note)
    for warning in dict.fromkeys(text for plan in plans for text in _warnings(plan, plans)):
        display.warn(warning)


def _warnings(plan: Plan, plans: Sequence[Plan]) -> Iterator[str]:
    """What a plan warns of; with the phase that it is about, where that is not every one."""
    for text in plan.warnings:
        yield text if all(text in each.warnings for each in plans) else f"{plan.place}: {text}"


def _print_phase(plan: Plan, display: Display, processes: int) -> None:
    console, fitted = display.out, plan.optimizer.fits_heads
    total = plan.frozen_numel + plan.trainable_numel
    rows = [
        (
            stage.name,
            count(stage.numel),
            _state(stage.frozen_numel, stage.numel),
            _batchnorm(stage.batchnorm_fixed, stage.batchnorm_moving),
            (_fitted(plan) if fitted and stage.lrs else ", ".join(f"{lr:.2g}" for lr in stage.lrs)) or "-",
            ", ".join(stage.rules) or ("always trains" if stage.name == "head" else "-"),
        )
        for stage in plan.stages
    ]
    headers = ("stage", "parameters", "state", "BatchNorm", "learning rate", "decided by")
    spare = () if any(stage.batchnorm_fixed or stage.batchnorm_moving for stage in plan.stages) else ("BatchNorm",)
    columns = Columns(right=("parameters", "learning rate"), squeeze=("decided by",), spare=spare)
    print_table(headers, rows, columns, console)
    if not fitted:
        names = ("param group", "tensors", "parameters", "peak lr", "weight decay")
        groups = [
            (g.name, len(g.parameters), count(g.numel), f"{g.lr:.3g}", f"{g.weight_decay:.3g}") for g in plan.groups
        ]
        print_table(names, groups, Columns(right=names[1:]), console)
    print_pairs(
        [
            (
                "trains",
                f"{count(plan.trainable_numel)} of {count(total)} parameters ({plan.trainable_numel / total:.1%})",
            ),
            *_adapters(plan),
            ("steps", _steps(plan)),
            *([("takes", _takes(plan.takes))] if plan.takes else []),
            *(("blended", text) for text in blending_lines(plan)),
            *(("average", text) for text in averaging_lines(plan)),
            ("images", f"augmentation {plan.augment}{_replayed(plan)}"),
            ("machine", f"{plan.device}, {plan.precision}{_scaled(plan)}{_paces(plan)}"),
            *_cache_lines(plan),
            ("memory", memory_taken(plan)),
            *([("divided", divided_among(plan, processes))] if plan.divided else []),
        ],
        console,
        folded=True,
    )


def _scaled(plan: Plan) -> str:
    """What float16 takes where steps are taken."""
    if plan.precision != "fp16" or plan.optimizer.fits_heads:
        return ""
    return ", the loss scaled, steps whose gradients overflow skipped"


def _replayed(plan: Plan) -> str:
    views = plan.cache.views
    return "" if views == 1 else f", {views} views of an image, replayed (--views new: another one in every epoch)"


def _adapters(plan: Plan) -> Iterator[tuple[str, str]]:
    """How many low-rank adapters there are, and whether they train."""
    lora = plan.recipe.get("lora")
    if lora is None:
        return
    alpha = f"alpha {lora['alpha']:g}" if "alpha" in lora else "alpha as the rank"
    resting = (
        ", resting in this phase" if set(plan.adapters) <= {name.removesuffix(ADAPTER) for name in plan.frozen} else ""
    )
    where = f"beside {number_of(len(plan.adapters), 'frozen layer')}"
    yield "adapters", f"rank {lora['rank']}, {alpha}, {where}{resting}; merged into the weights when the model is saved"


def _fitted(plan: Plan) -> str:
    return "fitted" if plan.optimizer.solves else f"{len(plan.optimizer.candidates)} at once"


def _steps(plan: Plan) -> str:
    if plan.optimizer.solves:
        optimizer, penalties = plan.optimizer.name, ", ".join(f"{each:g}" for each in plan.optimizer.penalties)
        return f"--optimizer {optimizer} fits the head with penalties {penalties}; the best on validation images stays"
    epochs, steps = number_of(plan.epochs - plan.place.begins, "epoch"), number_of(plan.steps_per_epoch, "step")
    planned = f"{epochs} x {steps}, warm-up over {number_of(plan.warmup_steps, 'step')}"
    return f"{planned}; {_candidates(plan)}" if plan.optimizer.candidates else planned


def _candidates(plan: Plan) -> str:
    """What the heads that train side by side train with."""
    every = plan.optimizer.candidates
    rates, decays = (
        {f"{value:g}": None for value in values}
        for values in zip(*((e.lr, e.weight_decay) for e in every), strict=True)
    )
    seeds = len({each.seed for each in every})
    begun = f", {number_of(seeds, 'seed')}" if seeds > 1 else ""
    return (
        f"{number_of(len(every), 'head')} at once, with learning rates {', '.join(rates)} and weight decays "
        f"{', '.join(decays)}{begun}; the best on validation images stays"
    )


def _takes(takes: Takes) -> str:
    what = "penalty" if takes.solves else "epoch"
    once = f"{as_duration(takes.once)} for what is computed once, " if takes.once else ""
    return f"about {as_duration(takes.all)}: {once}{as_duration(takes.epoch)} for each {what}, as measured on noise"


def _paces(plan: Plan) -> str:
    tried = ", ".join(f"{rate(pace)} in {name}" for name, pace in plan.paces.items())
    step = "a training step on kept features" if plan.cache.keeps == "features" else "a training step"
    return f" (images a second in {step}: {tried})" if tried else ""


def _cache_lines(plan: Plan) -> list[tuple[str, str]]:
    cache = plan.cache
    if cache.keeps == "nothing":
        return [("once", f"nothing is computed once: {cache.reason}")]
    if cache.keeps == "images":
        kept = f"{size(cache.bytes_per_image)} an image, {size(cache.bytes)} in {cache.kept}"
        return [("once", f"images are decoded once: {kept}; of the network nothing is computed once ({cache.reason})")]
    whole = cache.prefix_flops + cache.suffix_flops
    heads = max(1, len(plan.optimizer.candidates))
    each = (
        heads * cache.suffix_flops * (3 * plan.images["train"] + plan.images["val"])
    )  # gradients cost twice the forward pass
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


def memory_taken(plan: Plan) -> str:
    """What stays in memory while the network trains; what a step computes comes on top."""
    cache, optimizer = plan.cache, plan.optimizer
    parts = [f"{size(4 * (plan.frozen_numel + plan.trainable_numel))} of weights"]
    if optimizer.solves:
        rows, width = plan.images["train"] * cache.views, plan.trainable_numel // len(plan.classes)
        rank = min(rows, width)  # of the features, all in float64, beside a Hessian and its factor
        parts.append(f"{size(8 * (rows * rank + 2 * rank**2))} to fit the head")
    else:
        others = len(optimizer.candidates) * plan.trainable_numel  # the heads beside the network's own
        learned = round(4 * (others or plan.trainable_numel) * (1 + (optimizer.state or 0)) + 4 * others)
        if plan.recipe.get("training.ema") is not None:
            parts.append(f"{size(4 * plan.trainable_numel)} of their average")
        parts.append(
            f"{size(learned)} of {'heads, ' if others else ''}gradients"
            + ("" if optimizer.state is None else " and optimizer state")
        )
    if cache.keeps == "features":
        parts[0] += " (what is computed once leaves memory then)"
    if cache.keeps != "nothing" and cache.kept == "memory":
        parts.append(f"{size(cache.bytes)} of {cache.keeps}")
    above = "a step's activations" + ("" if optimizer.solves or optimizer.state is not None else " and optimizer state")
    return ", ".join(parts) + f"; {above} come on top"


def divided_among(plan: Plan, processes: int) -> str:
    """What each of so many processes holds of that, where the network is divided among them."""
    divided, state = plan.divided, plan.optimizer.state
    assert divided is not None

    def held(of_all: float, what: str) -> str:
        return f"{size(round(of_all / processes))} of {size(round(of_all))} of {what}"

    parts = [held(divided.bytes, "weights"), held(divided.trained, "gradients")]
    if state is not None:
        parts.append(held(divided.trained * state, "optimizer state"))
    if plan.recipe.get("training.ema") is not None:
        parts.append(held(divided.trained, "their average"))
    blocks = "all of it" if divided.blocks == 1 else f"the largest of {number_of(divided.blocks, 'block')}"
    more = f"; while it is computed {size(divided.largest)} more, {blocks}"
    whole = f"; all of {size(divided.whole)} until what is computed once is there" if divided.whole else ""
    return f"each of {number_of(processes, 'process', 'processes')} holds about {', '.join(parts)}{more}{whole}"


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


def _data_line(plan: Plan) -> str:
    images = ", ".join(f"{n} {split}" for split, n in plan.images.items() if n)
    demo = " (ft's built-in demo set; give your own with --data PATH)" if plan.data == "demo" else ""
    return f"{plan.data}{demo}: {number_of(len(plan.classes), *plan.noun)}, {images} images"
