"""The part of the config that asks for low-rank adapters."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_serializer, model_validator

from ft.config.component import Components
from ft.extension.settings import Section


class LoraConfig(Section):
    rank: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="rank of low-rank adapters (LoRA) beside frozen layers, merged on saving; default: none",
    )
    alpha: float | None = Field(None, gt=0, description="adapters count alpha / rank; default: 1, as alpha = rank")
    match: Components = Field(
        (),
        examples=["regex:layer4.*"],
        description="which layers get adapters: freezing strategies; default: every linear layer and convolution",
    )

    @model_validator(mode="after")
    def _has_rank(self) -> LoraConfig:
        if self.rank is None and (idle := [name for name in ("alpha", "match") if getattr(self, name)]):
            raise ValueError(f"without lora.rank there are no adapters, and lora.{idle[0]} does nothing; add --lora 8")
        return self

    @property
    def scale(self) -> float:
        """What adapters' outputs are multiplied by."""
        assert self.rank is not None
        return 1.0 if self.alpha is None else self.alpha / self.rank

    @model_serializer
    def _as_said(self) -> dict[str, Any]:
        said = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in said.items() if value not in (None, ())}
