"""How a config names the run that it starts from, and in the folder of a run, says which weights these were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_serializer, model_validator

from ft.extension.settings import Section


class OriginConfig(Section):
    """A finished run from whose weights another one starts. In the config of a run, it also says what became of its
    head and which weights these were, so that a run which is repeated starts from the very same."""

    run: str = Field(min_length=1, description="the folder of a finished run, as runs/latest")
    head: Literal["keep", "grow", "new"] | None = Field(
        None, description="in a run's config: its head goes on as it was, with rows for new classes, or is a new one"
    )
    sha256: str = Field("", pattern="^([0-9a-f]{64})?$", description="in a run's config: the digest of those weights")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"run": os.fspath(value)} if isinstance(value, str | os.PathLike) else value

    @property
    def path(self) -> Path:
        return Path(self.run)

    @model_serializer
    def _as_said(self) -> Any:
        said = {name: value for name, value in self if value}
        return said if len(said) > 1 else self.run
