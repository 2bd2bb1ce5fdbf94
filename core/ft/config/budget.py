"""How long a run may take, and in the folder of a run, what that came to."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_serializer, model_validator

from ft.extension.settings import Section
from ft.text.durations import parse_duration


def _checked(text: str) -> str:
    parse_duration(text)
    return text


class BudgetConfig(Section):
    """A time as `10m`. Once it is decided what fits into it, the config has the epochs and phases that do, and this
    says what was cut for it: with that the run goes on and is repeated, however fast the machine is by then."""

    asked: Annotated[str, AfterValidator(_checked)] = Field(description="a time, as 90s, 10m or 1h30m")
    decided: tuple[str, ...] | None = Field(None, description="in a run's config: what was cut for it")
    ended: dict[int, int] = Field(
        {},
        description="in a run's config: which phases ended early, and after how many epochs of the run",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return value if isinstance(value, dict | BudgetConfig) else {"asked": str(value)}

    @property
    def seconds(self) -> float:
        return parse_duration(self.asked)

    def __str__(self) -> str:
        """What was asked for, and what was cut for it, as in "10m: phase 2: 4 of 10 epochs"."""
        if self.decided is None:
            return self.asked
        return f"{self.asked}: {'; '.join(self.decided) or 'nothing is cut for it'}"

    @model_serializer
    def _as_said(self) -> Any:
        if self.decided is None and not self.ended:
            return self.asked
        return {"asked": self.asked, "decided": self.decided, **({"ended": self.ended} if self.ended else {})}
