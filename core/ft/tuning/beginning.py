"""How a sweep begins: all that was said is put together and looked at before the first trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.tuning.asked import asked_of, first_config
from ft.tuning.choosers import GRID, pruner_of, sampler_of
from ft.tuning.folder import Sweep, start_sweep
from ft.tuning.records import TRIALS, SweepConfig
from ft.tuning.space import grid_of
from ft.tuning.study import open_database


def begin_sweep(
    wanted: SweepConfig, content: Mapping[str, Any], sets: tuple[str, ...], flags: Mapping[str, Any], plugins: Plugins
) -> Sweep:
    """Make the folder of a sweep, or find it where the very same one has begun in it.

    Raises FtError for what cannot be of any trial. What cannot be of one combination alone is that trial's failure.
    """
    asked, space = asked_of(wanted, content, sets, flags)
    wanted.seconds  # noqa: B018 (raises for what is no time)
    sampler_of(asked.sampler, 0)
    pruner_of(asked.pruner)
    trials = wanted.trials or TRIALS
    if asked.sampler["use"] == GRID:
        whole = len(grid_of(space))
        if wanted.trials is not None and wanted.trials > whole:
            raise FtError(f"--trials {wanted.trials}: the whole grid is {whole}; leave it out to try all")
        trials = wanted.trials or whole
    example = first_config(asked, space, plugins)
    if wanted.storage is not None:
        open_database(wanted.storage)
    return start_sweep(asked, example, trials, wanted.storage, plugins)
