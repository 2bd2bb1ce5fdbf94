"""What a run will do, as plain data: printed by `ft plan`, obeyed by training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ft.extension.records import Candidate
from ft.extension.tasks import Figure
from ft.plan.budget import Takes

NOT_DECISIVE = (
    "weights",
    "data",
    "notes",
    "warnings",
    "cache",
    "selected",
    "paces",
    "optimizer",
    "task",
    "figures",
    "noun",
    "place",
    "from_recipe",
    "budget",
    "takes",
    "divided",
)

ADAPTER = ".lora_a.weight"
"""How the name of an adapter's first parameter ends, behind the path of the layer beside which it stands."""


@dataclass(frozen=True)
class ParamGroup:
    """Parameters that share a peak learning rate and a weight decay."""

    name: str
    lr: float
    weight_decay: float
    parameters: tuple[str, ...]
    numel: int


@dataclass(frozen=True)
class StagePlan:
    """What becomes of one stage. Numbers count scalar parameters; BatchNorm is counted in layers.

    `rules` are the references that decided here; `lrs` the peak learning rates of what trains.
    """

    name: str
    numel: int
    frozen_numel: int
    batchnorm_fixed: int
    batchnorm_moving: int
    rules: tuple[str, ...]
    lrs: tuple[float, ...]


@dataclass(frozen=True)
class CachePlan:
    """What is computed once. `promise` is "off" where nothing is, and `reason` says why, or why this promise.

    exact: bit for bit what the plain loop computes. close: BatchNorm folded into convolutions, channels last, fp32.
    fast: that in bf16, as autocast does it. `keeps` says what is kept: features of the frozen prefix, or where there is
    none that is worth it, decoded images; `kept` where, and `images` counts images times views.
    """

    promise: Literal["off", "exact", "close", "fast"]
    reason: str
    keeps: Literal["nothing", "images", "features"] = "nothing"
    tensors: tuple[str, ...] = ()
    bytes_per_image: int = 0
    images: int = 0
    views: int = 1
    kept: Literal["memory", "disk", "nowhere"] = "nowhere"
    prefix_flops: int = 0
    suffix_flops: int = 0
    ceiling: float = 1.0
    barriers: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes of all that is kept."""
        return self.bytes_per_image * self.images


@dataclass(frozen=True)
class CacheCost:
    """What became of the plan: the promise kept, why, how many images (and views) were computed, and how many decoded,
    those included that were kept while they were checked.

    Both are 0 when the store had all that was needed. `seconds` passed until it was there, `proof_seconds` of them
    with the proof that it is what was promised. `pass_seconds` is what its batches took to compute, now or in an
    earlier run, without start and writing: what an epoch would take for it.
    """

    promise: str
    reason: str
    computed: int = 0
    decoded: int = 0
    seconds: float = 0.0
    proof_seconds: float = 0.0
    pass_seconds: float = 0.0
    ceiling: float = 1.0


@dataclass(frozen=True)
class OptimizerPlan:
    """What of the optimizer the recipe does not tell: whether it solves for the head, with which `penalties`, the
    strongest first, which `candidates` it trains side by side, or how many values it keeps for each parameter, where it
    says so."""

    name: str = ""
    solves: bool = False
    penalties: tuple[float, ...] = ()
    state: float | None = None
    candidates: tuple[Candidate, ...] = ()

    @property
    def fits_heads(self) -> bool:
        """Whether it fits linear heads to kept features, and trains nothing else."""
        return self.solves or bool(self.candidates)


@dataclass(frozen=True)
class Place:
    """Where a phase stands among those of its run: its number, from 1, of how many, and after how many epochs of the
    run it begins. A run whose config lists no phases is in the first of one, also once its freeze was changed."""

    number: int = 1
    of: int = 1
    begins: int = 0

    def __str__(self) -> str:
        return f"phase {self.number} of {self.of}"


@dataclass(frozen=True)
class Divided:
    """Bytes of the parameters that are divided among processes, and of those among them that train; how many `blocks`
    are gathered one after the other, and bytes of the largest. `whole` are bytes of parameters of which each process
    holds all, until what is computed once is there."""

    bytes: int
    trained: int
    blocks: int
    largest: int
    whole: int


@dataclass(frozen=True)
class Plan:
    """Exactly what will happen. `frozen` names parameters, `frozen_modules` the modules that stay in eval mode.

    `selected` is what freezing strategies that looked at images selected, `recipe` the settings that decide which
    numbers come out and that nothing else here tells, by their place in the config. `paces` are the images a second of
    a training step in each arithmetic and layout that was tried, so that the fastest could be taken.
    `classes` are the names of the label space, of which one and several are called by the `noun`; `figures` are those
    of the `task`. `epochs` counts from the start of the run; of a run in phases it is the last one of the phase that
    stands at `place`, and the schedule of learning rates begins with the phase. `from_recipe` says which recipe was
    laid under the config, and what it said; "" where none was. `budget` says in how much time the run is to be done and
    what was cut for that, "" where there is no limit, and `takes` what the phase takes of it, where that was measured.
    `divided` is what several processes share of the network, where they do.
    """

    backbone: str
    weights: str
    head: tuple[str, ...]
    stages: tuple[StagePlan, ...]
    frozen: tuple[str, ...]
    frozen_modules: tuple[str, ...]
    frozen_numel: int
    trainable_numel: int
    groups: tuple[ParamGroup, ...]
    data: str
    classes: tuple[str, ...]
    images: Mapping[str, int]
    epochs: int
    steps_per_epoch: int
    warmup_steps: int
    aux_loss_weight: float
    device: str
    precision: str
    image_size: int
    augment: str
    recipe: Mapping[str, Any]
    cache: CachePlan
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    selected: Mapping[str, tuple[str, ...]]
    paces: Mapping[str, float]
    optimizer: OptimizerPlan = OptimizerPlan()
    task: str = "classification"
    figures: tuple[Figure, ...] = ()
    noun: tuple[str, str] = ("class", "classes")
    place: Place = Place()
    from_recipe: str = ""
    budget: str = ""
    takes: Takes | None = None
    divided: Divided | None = None

    @property
    def adapters(self) -> tuple[str, ...]:
        """Paths of the layers beside which there are low-rank adapters, whether these train or rest."""
        names = (*(name for group in self.groups for name in group.parameters), *self.frozen)
        return tuple(name.removesuffix(ADAPTER) for name in names if self.recipe.get("lora") and name.endswith(ADAPTER))

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    @property
    def first_step(self) -> int:
        """The step at which the schedule of learning rates begins."""
        return self.place.begins * self.steps_per_epoch

    def decisive(self) -> dict[str, Any]:
        """What decides which numbers come out: not where weights and images lie, what is kept, what was said or why."""
        begins = {"begins": self.place.begins} if self.place.begins else {}
        return {key: value for key, value in asdict(self).items() if key not in NOT_DECISIVE} | begins

    def digest(self) -> str:
        """A short name for everything that decides which numbers come out."""
        text = json.dumps(self.decisive(), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
