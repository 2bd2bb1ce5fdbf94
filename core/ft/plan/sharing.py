"""What each of several processes holds of a network that is divided among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from ft.errors import FtError
from ft.extension.records import Stage
from ft.plan.records import CachePlan, Divided, Plan
from ft.prefix.find import FrozenPrefix, split_module
from ft.prefix.split import needed_no_more

SMALL = 1 / 200
"""Share of what is divided below which a module is not gathered by itself: what is left over is gathered once a step,
and each gathering takes its time."""


def check_divided(plan: Plan) -> None:
    """Raise FtError for what does not go together with a network that is divided among processes."""
    if plan.optimizer.fits_heads:
        raise FtError(
            f"--optimizer {plan.optimizer.name} fits heads in the first process alone, so there is nothing to divide; "
            "leave out --shard"
        )
    if plan.precision == "fp16":
        raise FtError(
            "in fp16 the steps whose gradients overflow are skipped, and of a divided network each process sees its "
            "own gradients alone; with --shard use --precision bf16 or fp32"
        )


def large_modules(module: nn.Module, stages: Sequence[Stage]) -> list[nn.Module]:
    """The modules of a backbone's stages that are large enough to be gathered by themselves; of those that stand one
    behind the other in a stage, each."""
    least = SMALL * sum(parameter.numel() for parameter in module.parameters())
    paths = dict(module.named_modules())
    listed = [paths[path] for stage in stages for path in stage.paths if path in paths]
    single = [one for each in listed for one in (each.children() if type(each) is nn.Sequential else (each,))]
    return [each for each in single if sum(parameter.numel() for parameter in each.parameters()) >= least]


def divide(module: nn.Module, stages: Sequence[Stage], prefix: FrozenPrefix | None, cache: CachePlan) -> Divided:
    """What becomes of a network's parameters. What only the frozen prefix reads is not divided where features are kept,
    and what follows it is gathered as one block."""
    keeps = prefix is not None and cache.keeps == "features"
    once = needed_no_more(module, split_module(prefix)) if keeps and prefix is not None else frozenset[str]()
    parts = {parameter for name, parameter in module.named_parameters() if name not in once}
    blocks = [] if keeps else [set(each.parameters()) for each in large_modules(module, stages)]
    sizes = [_bytes(each) for each in (*blocks, parts.difference(*blocks)) if each]
    trained = _bytes(each for each in parts if each.requires_grad)
    return Divided(_bytes(parts), trained, len(sizes), max(sizes), _bytes(set(module.parameters()) - parts))


def _bytes(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.nbytes for parameter in parameters)
