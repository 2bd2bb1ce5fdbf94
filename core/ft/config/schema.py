"""The configuration of a run: one pydantic tree, in which every key has a type, bounds and a description."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo

from ft.config.budget import BudgetConfig
from ft.config.component import ComponentConfig as ComponentConfig, Components, as_list
from ft.config.images import ImagesConfig
from ft.config.lora import LoraConfig
from ft.config.origin import OriginConfig
from ft.config.phase import PhaseConfig
from ft.config.recipe import RecipeConfig
from ft.config.split import SplitConfig
from ft.config.training import TrainingConfig
from ft.extension.kinds import KINDS, Key, Kind
from ft.extension.settings import Section

PREDICT_PRECISION: Literal["fp32"] = "fp32"
PREDICT_BATCH = 32
"""How a finished model is used, unless it is told otherwise: by ft predict, ft evaluate, and a run's own report."""


class WeightsConfig(ComponentConfig):
    """Which weights, and where to look for them after the cache and before the place the entry names."""

    use: str = Field("default", description="none, default, an entry's name, or a weight source such as local:PATH")
    sources: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(as_list)] = Field(
        (), examples=["local:./weights"], description="weight sources to try in this order after the cache"
    )
    key: str | None = Field(
        None,
        min_length=1,
        description="where in a checkpoint the tensors are, as in model_ema; default: found by itself",
    )
    sha256: str | None = Field(None, pattern="^[0-9a-f]{8,64}$", description="the file's digest, or its beginning")


class GroupConfig(Section):
    """Parameters that a freezing-strategy reference selects get their own learning rate or weight decay."""

    match: ComponentConfig = Field(
        examples=["depth:1"], description="which parameters: a freezing strategy's reference"
    )
    lr: float | None = Field(None, gt=0, description="their peak learning rate; default: that of their stage")
    weight_decay: float | None = Field(None, ge=0, description="their weight decay; default: training.weight_decay")

    @model_validator(mode="after")
    def _says_something(self) -> GroupConfig:
        if self.lr is None and self.weight_decay is None:
            raise ValueError("give it an lr or a weight_decay; without, it changes nothing")
        return self


class CacheConfig(Section):
    promise: Literal["auto", "off", "exact", "close", "fast"] = Field(
        "auto", description="compute what is frozen once: exact, bit for bit; close, folded; fast, also in bf16; or off"
    )
    memory_gb: float = Field(
        0.25, ge=0, le=1e6, description="features up to this size are kept in memory, others on disk"
    )
    disk_gb: float = Field(
        20.0,
        ge=0,
        le=1e6,
        description="size of the folder of features; decoded images go first, then what was used longest ago",
    )
    shard_mb: float = Field(
        256.0,
        gt=0,
        le=1e6,
        description="size of each file of features, at most; a pass that is killed loses the one that it was writing",
    )


_MOST_WORKERS = 512


def _possible(workers: int | str) -> int | str:
    if isinstance(workers, int) and workers < 0:
        raise ValueError("it is 0 or more; with 0, images are decoded between the steps")
    if isinstance(workers, int) and workers > _MOST_WORKERS:
        raise ValueError(f"it is {_MOST_WORKERS} or less; each is a process")
    return workers


class MachineConfig(Section):
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="auto: bf16, or fp16 on a GPU that lacks it, where a training step of the very network is clearly "
        "faster with it, else fp32",
    )
    resolved: Literal["fp32", "bf16", "fp16"] | None = Field(
        None,
        description="what auto came to, in a run's config, so that it stays when the run goes on or is repeated",
    )
    channels_last: bool = True
    workers: Annotated[int | Literal["auto"], AfterValidator(_possible)] = Field("auto", description="loader processes")
    shard: bool = Field(
        False,
        description="each of several processes holds its share of the network, of its gradients and of the optimizer's "
        "state, for a backbone whose training does not fit one device",
    )
    wait: float | None = Field(
        None,
        gt=0,
        description="seconds that one of several processes waits for another before the run ends; default: 300",
    )


class ReportConfig(Section):
    html: bool = Field(True, description="write report.html as the run ends")
    pictures: bool = Field(True, description="embed small copies of images in report.html; off: their paths alone")


_ONLY_WHERE_SAID = ("recipe", "from_run", "phases", "time_budget", "lora")
"""Keys that a config without them does not mention."""


class Config(Section):
    recipe: RecipeConfig | None = Field(None, examples=["lp-ft"])
    from_run: OriginConfig | None = Field(
        None,
        examples=["runs/latest"],
        description="start from the weights of this run, head included, and see images as it did",
    )
    backbone: ComponentConfig = Field(examples=["torchvision:resnet18"])
    weights: WeightsConfig = Field(WeightsConfig(), examples=["local:PATH"])
    head: ComponentConfig = Field(ComponentConfig(use="linear"), examples=["mlp"])
    freeze: Components = Field((), examples=["all"])
    train: Components = Field((), examples=["until:layer4"])
    lora: LoraConfig = LoraConfig()
    data: ComponentConfig = Field(ComponentConfig(use="demo"), examples=["./photos"])
    task: ComponentConfig = Field(
        ComponentConfig(use="classification"), examples=["multilabel"], description="what a label is, and the loss"
    )
    split: SplitConfig = SplitConfig()
    images: ImagesConfig = ImagesConfig()
    training: TrainingConfig = TrainingConfig()
    groups: tuple[GroupConfig, ...] = ()
    phases: tuple[PhaseConfig, ...] = Field(
        (), description="parts of the run, one after the other, each with a freeze, rates and images of its own"
    )
    time_budget: BudgetConfig | None = Field(
        None,
        examples=["10m"],
        description="how long the run may take, as 10m or 1h30m: epochs, then phases are cut to what fits",
    )
    cache: CacheConfig = CacheConfig()
    machine: MachineConfig = MachineConfig()
    report: ReportConfig = ReportConfig()
    seed: int = Field(0, ge=0, lt=2**32)
    run_dir: Path | None = Field(None, description="default: runs/<time>-<backbone>")

    prefer: dict[str, str] = Field(
        {}, description="KIND:NAME, as in freeze:regex: which distribution is meant where several provide it"
    )

    @model_validator(mode="after")
    def _one_run_in_the_time(self) -> Config:
        if self.time_budget and self.time_budget.decided is None and self.split.folds and self.split.fold is None:
            raise ValueError(
                f"time_budget is for one run, and these are {self.split.folds}, which are to be trained alike; run "
                "--fold 1 with it, and then all by that run's config: --config RUN/config.yaml --set split.fold=null"
            )
        return self

    @model_validator(mode="after")
    def _trained_on_before(self) -> Config:
        if self.from_run is not None and self.split.folds is not None:
            raise ValueError(
                f"with folds, each image validates once, and those that trained {self.from_run.run} may not: leave out "
                "--folds, or --from"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = handler(self)
        return {key: value for key, value in plain.items() if value or key not in _ONLY_WHERE_SAID}

    def named(self) -> Iterator[Named]:
        """Every component that the config names, in the order of KINDS and of their keys; no recipe, as that was laid
        under it when it was read."""
        for kind in KINDS.values():
            for key in kind.keys if kind.callables else ():
                yield from (Named(kind, key, *found) for found in _parts_at(self, key.path.split("."), ""))

    def references(self) -> tuple[str, ...]:
        """Every reference in the config, each of which may name code."""
        return tuple(each.part.use for each in self.named())


@dataclass(frozen=True)
class Named:
    """A component as a config names it: of which kind, under which key, and at which `place`, as `--set` takes it."""

    kind: Kind
    key: Key
    place: str
    part: ComponentConfig


def _parts_at(value: Any, path: Sequence[str], place: str) -> Iterator[tuple[str, ComponentConfig]]:
    """What stands at `path` below a part of the config, each with its place; by number where there are several."""
    if isinstance(value, tuple):
        for number, each in enumerate(value):
            yield from _parts_at(each, path, place if len(value) == 1 else f"{place}.{number}")
    elif path:
        below = getattr(value, path[0])
        yield from _parts_at(below, path[1:], f"{place}.{path[0]}" if place else path[0])
    elif value is not None:  # a phase does not say it
        yield place, value if isinstance(value, ComponentConfig) else ComponentConfig(use=value)


def field_at(path: str) -> FieldInfo:
    """The field of a key of the config, as of training.lr, or of the items of a list, as of groups.match."""
    model: Any = Config
    *sections, last = path.split(".")
    for section in sections:
        below = model.model_fields[section].annotation
        model = get_args(below)[0] if get_origin(below) is tuple else below
    found: FieldInfo = model.model_fields[last]
    return found


C = TypeVar("C", bound=BaseModel)


def with_kinds(model: type[C], kinds: Iterable[Kind]) -> type[C]:
    """Return `model` with each key of `kinds` that it lacks: a new kind needs no line in this file."""
    keys = [key for kind in kinds for key in kind.keys if "." not in key.path]
    fields: dict[str, Any] = {key.path: _as_field(key) for key in keys if key.path not in model.model_fields}
    return create_model(model.__name__, __base__=model, __module__=model.__module__, **fields) if fields else model


def _as_field(key: Key) -> Any:
    if key.several:
        return Components, Field((), examples=[key.example] if key.example else None)
    assert key.default, f"the key '{key.path}' has no default"
    return ComponentConfig, ComponentConfig(use=key.default)


if not TYPE_CHECKING:
    Config = with_kinds(Config, KINDS.values())
