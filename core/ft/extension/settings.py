"""The base class of every component's settings, and the one place where outside values become settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from ft.errors import FtError, did_you_mean


class Settings(BaseModel):
    """Base class for a component's settings: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Section(Settings):
    """Base class for a part of the config."""

    model_config = ConfigDict(allow_inf_nan=False)


S = TypeVar("S", bound=BaseModel)


def validate(model: type[S], values: Mapping[str, Any], where: str) -> S:
    """Return `values` as an instance of `model`. Raises FtError, one line a mistake, each with the way out."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(model, item, where) for item in error.errors(include_url=False)]
        raise FtError("\n".join(lines)) from None


def _explain(model: type[BaseModel], item: Any, where: str) -> str:
    path = [str(part) for part in item["loc"]]
    place = ".".join([where, *path]) if where else ".".join(path)
    if item["type"] == "extra_forbidden":
        known = sorted(_fields_at(model, path[:-1]))
        hint = did_you_mean(path[-1], known)
        takes = f"It takes: {', '.join(known)}" if known else "It takes no settings"
        return f"unknown setting '{place}'.{hint} {takes}"
    if item["type"] == "missing":
        return f"setting '{place}' is missing; give it with --set {place}=..."
    if item["type"] == "string_unicode":
        return f"setting '{place}' is no UTF-8: {item['input']!r}; give it another name, or go there and write '.'"
    message = item["msg"].removeprefix("Value error, ")
    return f"setting '{place}' cannot be {item['input']!r}: {message[0].lower() + message[1:]}"


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        if part.isdigit():  # an item of the list that the part before names
            continue
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation is or holds, as `tuple[Model, ...]` and `Model | None` do."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong with a record, and how many more there are."""
    first, *more = error.errors(include_url=False, include_context=False)
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    further = f" (and {len(more)} more)" if more else ""
    return f"{place}: {message[0].lower() + message[1:]}{further}" if place else f"{message}{further}"
