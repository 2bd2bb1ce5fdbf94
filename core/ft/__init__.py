"""ft fine-tunes pretrained vision backbones. This page is what people and plugins import.

`plan`, `find_lr`, `finetune`, `cross_validate`, `sweep`, `load`, `export`, `average` and `ensemble` are for those who
use ft, everything else for those who extend it. Importing ft loads no torch; calling one of these does.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ft._version import __version__ as __version__
from ft.data.image_files import (
    image_format as image_format,
    is_image as is_image,
    readable_formats as readable_formats,
    what_reads as what_reads,
)
from ft.errors import FtError as FtError, FtWarning as FtWarning, did_you_mean as did_you_mean, nearest as nearest
from ft.extension.exporters import Exporter as Exporter, Portable as Portable
from ft.extension.extensions import (
    Augmentation as Augmentation,
    BackboneProvider as BackboneProvider,
    DataSource as DataSource,
    FreezeStrategy as FreezeStrategy,
    HeadBuilder as HeadBuilder,
    Optimizer as Optimizer,
    Recipe as Recipe,
    Task as Task,
    Tracker as Tracker,
    WeightSource as WeightSource,
)
from ft.extension.granted import DataCache as DataCache, WeightCache as WeightCache
from ft.extension.hookspecs import hookimpl as hookimpl
from ft.extension.records import (
    API_VERSION as API_VERSION,
    Backbone as Backbone,
    Candidate as Candidate,
    ModelFacts as ModelFacts,
    Preprocessing as Preprocessing,
    Remark as Remark,
    Sample as Sample,
    Stage as Stage,
    WeightEntry as WeightEntry,
)
from ft.extension.sections import (
    Chart as Chart,
    Choice as Choice,
    Line as Line,
    Matrix as Matrix,
    Note as Note,
    Pictures as Pictures,
    Section as Section,
    Shot as Shot,
    Slider as Slider,
)
from ft.extension.tasks import (
    Answer as Answer,
    Figure as Figure,
    Label as Label,
    LabelSpace as LabelSpace,
    Loss as Loss,
    Meter as Meter,
    SolvableLoss as SolvableLoss,
    Table as Table,
)
from ft.machine.files import publish_text as publish_text
from ft.text.counting import number_of as number_of, some_names as some_names
from ft.text.names import natural_order as natural_order
from ft.text.reading import read_bytes as read_bytes
from ft.tracking.events import (
    CheckpointSaved as CheckpointSaved,
    EpochDone as EpochDone,
    Event as Event,
    FeaturesReady as FeaturesReady,
    ImagesReady as ImagesReady,
    PenaltyDone as PenaltyDone,
    PhaseStarted as PhaseStarted,
    RunEnded as RunEnded,
    RunFailed as RunFailed,
    RunStarted as RunStarted,
)

if TYPE_CHECKING:
    from ft.data.known_files import file_state as file_state
    from ft.exporting.front import export as export
    from ft.extension.settings import Settings as Settings
    from ft.front import (
        cross_validate as cross_validate,
        find_lr as find_lr,
        finetune as finetune,
        load as load,
        plan as plan,
    )
    from ft.together import average as average, ensemble as ensemble
    from ft.tuning.front import sweep as sweep

# What takes long to import is imported when somebody asks for it: torch, and pydantic, without which plugins can be
# looked at.
_LATER = {
    **dict.fromkeys(("plan", "find_lr", "finetune", "cross_validate", "load"), "ft.front"),
    "export": "ft.exporting.front",
    "file_state": "ft.data.known_files",
    **dict.fromkeys(("average", "ensemble"), "ft.together"),
    "sweep": "ft.tuning.front",
    "Settings": "ft.extension.settings",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'ft' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


class _FrontPage(ModuleType):
    """Python makes each imported module an attribute of its package. Two modules of the core are called as functions
    of this page are; the functions stay."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _LATER and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontPage
