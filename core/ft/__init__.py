"""ft fine-tunes pretrained vision backbones. This page is what plugins import; nothing here loads torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ft._version import __version__ as __version__
from ft.data.image_files import (
    image_format as image_format,
    is_image as is_image,
    readable_formats as readable_formats,
    what_reads as what_reads,
)
from ft.errors import FtError as FtError, did_you_mean as did_you_mean, nearest as nearest
from ft.extension.granted import DataCache as DataCache, WeightCache as WeightCache
from ft.extension.hookspecs import hookimpl as hookimpl
from ft.extension.kinds import (
    BackboneProvider as BackboneProvider,
    DataSource as DataSource,
    FreezeStrategy as FreezeStrategy,
    HeadBuilder as HeadBuilder,
    WeightSource as WeightSource,
)
from ft.extension.records import (
    API_VERSION as API_VERSION,
    Backbone as Backbone,
    ModelFacts as ModelFacts,
    Preprocessing as Preprocessing,
    Remark as Remark,
    Sample as Sample,
    Stage as Stage,
    WeightEntry as WeightEntry,
)
from ft.text.reading import read_bytes as read_bytes

if TYPE_CHECKING:
    from ft.extension.settings import Settings as Settings


def __getattr__(name: str) -> Any:
    # pydantic takes longer to import than everything else here, and looking at plugins does not need it.
    if name == "Settings":
        from ft.extension.settings import Settings

        return Settings
    raise AttributeError(f"module 'ft' has no attribute {name!r}")
