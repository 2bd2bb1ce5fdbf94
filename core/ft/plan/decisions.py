"""What a plan follows from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ft.config.schema import Config
from ft.data.load import ImageData
from ft.machine.devices import Machine
from ft.model.backbone import BuiltBackbone
from ft.model.freezing import FrozenChoice
from ft.model.head import Model
from ft.plan.optimizer import ChosenOptimizer
from ft.plan.records import CachePlan, Place


@dataclass(frozen=True, eq=False)
class Decisions:
    """Everything that a plan follows from. `paces` are the images a second of each machine that was tried; `shared` are
    keys of `training` that the phase takes from the config, for all phases, and another one has a use for."""

    config: Config
    data: ImageData
    built: BuiltBackbone
    model: Model
    frozen: FrozenChoice
    cache: CachePlan
    machine: Machine
    paces: Mapping[Machine, float]
    optimizer: ChosenOptimizer
    place: Place
    shared: Collection[str] = ()
