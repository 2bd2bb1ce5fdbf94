"""Which optimizer a config names, with its settings, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ft.config.schema import Config
from ft.config.training import changed
from ft.errors import FtError
from ft.extension.extensions import Optimizer
from ft.extension.installed import Chosen, Plugins, read_settings, settings_class
from ft.extension.references import parse_reference
from ft.plan.records import OptimizerPlan

KEY = "training.optimizer"
OLDER = ("momentum", "penalties")
"""Settings of optimizers that were keys of `training` themselves, and still may be."""


class ChosenOptimizer(Chosen[Optimizer]):
    """An optimizer, and what it was told."""

    def build(self, groups: Sequence[Mapping[str, Any]]) -> Any:
        """A torch.optim.Optimizer over torch's param groups."""
        return self.implementation("build")([dict(group) for group in groups], self.settings)

    def planned(self) -> OptimizerPlan:
        """What a plan says of it beside its name and settings."""
        state = self.implementation("state")(self.settings) if self.record.state else None
        penalties = tuple(sorted(self.settings.penalties, reverse=True)) if self.record.solves else ()
        candidates = tuple(self.implementation("candidates")(self.settings)) if self.record.candidates else ()
        return OptimizerPlan(self.component.name, self.record.solves, penalties, state, candidates)


def choose_optimizer(config: Config, plugins: Plugins) -> ChosenOptimizer:
    """Find the optimizer that `config` names. Raises FtError where there is none, or it does not take its settings."""
    given = config.training.optimizer
    component = plugins.get("optimizer", parse_reference(given.use))
    takes = settings_class(component).model_fields
    older = {name: getattr(config.training, name) for name in changed(config.training, OLDER) if name in takes}
    if twice := sorted(older.keys() & given.settings.keys()):
        raise FtError(f"training.{twice[0]} is the older name of {KEY}.{twice[0]}, which is given, too; leave it out")
    settings = read_settings(component, {**older, **given.settings}, KEY)
    if component.record.solves and not hasattr(settings, "penalties"):
        raise FtError(f"optimizer '{component.name}' solves, and has no setting 'penalties', a list of numbers")
    return ChosenOptimizer(component, settings)
