"""`stages`: one linear layer that reads the outputs of all stages, not of the last alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from ft import Settings

if TYPE_CHECKING:
    from torch import nn


class StagesSettings(Settings):
    read: tuple[str, ...] | None = Field(
        None, min_length=1, description="names of the stages that are read beside the last one; default: all"
    )
    required: bool = Field(
        True, description="refuse networks whose stages cannot be read, of which else the features alone are read"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="share of what is read that is dropped in training")
    bias: bool = Field(True, description="add a bias to each class")


def reads(stages: Sequence[str], settings: StagesSettings) -> Sequence[str] | None:
    """The names of the stages whose outputs the head gets beside the features (Evci et al. 2022, section 3).

    Where there are no `stages` to choose from, None refuses that.
    """
    if not stages and settings.required:
        return None
    return stages if settings.read is None else settings.read


def build(feature_dim: int, num_classes: int, settings: StagesSettings) -> nn.Module:
    """[N, feature_dim] to [N, num_classes], where the features are those of all stages; initialised as torch does."""
    from torch import nn

    layer = nn.Linear(feature_dim, num_classes, bias=settings.bias)
    return nn.Sequential(nn.Dropout(settings.dropout), layer) if settings.dropout else layer
