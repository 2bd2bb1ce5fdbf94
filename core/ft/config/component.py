"""How a config names a component: by its reference, with its settings beside it or without."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer, model_validator

from ft.extension.settings import no_reference


class ComponentConfig(BaseModel):
    """A reference, with the settings of the component it names: `mlp`, or `{use: mlp, hidden: [256]}`."""

    model_config = ConfigDict(extra="allow", frozen=True)
    use: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str | dict | ComponentConfig):
            raise no_reference()
        return {"use": value} if isinstance(value, str) else value

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    def __str__(self) -> str:
        """The reference and, where there are any, its settings, as in "flip (p: 0.1)"."""
        settings = ", ".join(f"{key}: {value}" for key, value in sorted(self.settings.items()))
        return f"{self.use} ({settings})" if settings else self.use

    @model_serializer
    def _as_text(self) -> Any:
        fields = type(self).model_fields
        said = {name: value for name, value in self if name not in fields or value != fields[name].default}
        said = {"use": self.use, **said}
        return said if len(said) > 1 else self.use


def as_list(value: Any) -> Any:
    """One of something as a list of it."""
    if not isinstance(value, str | dict | list | tuple | ComponentConfig):
        raise no_reference()
    return list(value) if isinstance(value, list | tuple) else [value]


Components = Annotated[tuple[ComponentConfig, ...], BeforeValidator(as_list)]
