"""The base class of every component's settings, and the one place where outside values become settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from ft.errors import FtError, did_you_mean


class Settings(BaseModel):
    """Base class for a component's settings: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Section(Settings):
    """Base class for a part of the config."""

    model_config = ConfigDict(allow_inf_nan=False)


S = TypeVar("S", bound=BaseModel)


def no_reference() -> PydanticCustomError:
    """What a validator raises where a component has to be named; `validate` says it with the field's example."""
    return PydanticCustomError("no_reference", "write a reference, or a mapping with the key 'use'")


def validate(model: type[S], values: Mapping[str, Any], where: str) -> S:
    """Return `values` as an instance of `model`. Raises FtError, one line a mistake, each with the way out."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        faults = error.errors(include_url=False)
        within = {fault["loc"][:-1] for fault in faults}  # a list of unfit items is not too short besides
        told = [each for each in faults if not (each["type"] == "too_short" and each["loc"] in within)]
        lines = dict.fromkeys(_explain(model, each, values, where) for each in told)
        raise FtError("\n".join(lines)) from None


def _explain(model: type[BaseModel], item: Any, values: Mapping[str, Any], where: str) -> str:
    path, field, options = _place(model, item["loc"])
    place = ".".join([where, *path]) if where else ".".join(path)
    if item["type"] == "extra_forbidden":
        known = sorted(_fields_at(model, path[:-1]))
        hint = did_you_mean(path[-1], known)
        takes = f"It takes: {', '.join(known)}" if known else "It takes no settings"
        return f"unknown setting '{place}'.{hint} {takes}"
    if item["type"] == "missing" and not options:
        return f"setting '{place}' is missing; give it with --set {place}=..."
    if item["type"] == "string_unicode":
        return f"setting '{place}' is no UTF-8: {item['input']!r}; give it another name, or go there and write '.'"
    value = _value_at(values, path) if options else item["input"]
    return f"setting '{place}' cannot be {value!r}: {_way_out(item, field, options, _fields_at(model, path))}"


def _way_out(item: Any, field: FieldInfo | None, options: Sequence[Any], keys: Sequence[str]) -> str:
    """What fits instead, with the field's example, where it has one."""
    example = str(field.examples[0]) if field is not None and field.examples else ""
    as_in = f", as in {example}" if example else ""
    if options:
        return f"it takes {' or '.join(map(_called, options))}{as_in}"
    if item["type"] == "no_reference":
        leave = "leave it out, or " if item["input"] is None and field is not None and not field.is_required() else ""
        has_settings = field is None or _model_in(field.annotation) is not None
        mapping = f", or a mapping, {{use: {example or 'NAME'}, ...}}" if has_settings else ""
        return f"{leave}write a reference{as_in}{mapping}"
    if item["type"] in ("dict_type", "model_type") and keys:
        return f"it takes a mapping of {', '.join(keys)}"
    if item["type"] in ("too_short", "string_too_short") and item["ctx"]["min_length"] == 1:
        return f"it may not be empty{as_in}"
    if what := _TAKES.get(item["type"]):
        return f"it takes {what}{as_in}"
    message: str = item["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]


_TAKES = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("dict_type", "model_type"), "a mapping"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("path_type", "string_type"), "text"),
}
"""What fits, by what pydantic calls a mistake."""
_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _called(kind: Any) -> str:
    """What messages call a type that a setting may have."""
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple and ... not in get_args(kind):
        numbers = set(get_args(kind)) <= {int, float}
        return f"a list of {len(get_args(kind))} {'numbers' if numbers else 'values'}"
    return _NAMES.get(kind, "a list" if get_origin(kind) in (tuple, list) else "a mapping")


def _place(model: type[BaseModel], loc: Sequence[int | str]) -> tuple[list[str], FieldInfo | None, Sequence[Any]]:
    """The keys that lead to a mistake, the last field on the way, and the types of which the value there fits none: in
    such a place pydantic goes on with the name of a type, which nobody typed."""
    path: list[str] = []
    field: FieldInfo | None = None
    kinds: Sequence[Any] = [model]
    for part in loc:
        if len(kinds) > 1:
            return path, field, kinds
        path.append(str(part))
        known = kinds[0].model_fields if _is_model(kinds[0]) else {}
        if known:
            field = known.get(str(part))
        kinds = _kinds_of(field.annotation if known and field is not None else _item_of(kinds[0]))
    return path, field, ()


def _kinds_of(annotation: Any) -> Sequence[Any]:
    """The types that an annotation allows besides None."""
    if get_origin(annotation) is Annotated:
        return _kinds_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for each in get_args(annotation) if each is not NoneType for kind in _kinds_of(each)]
    return [annotation]


def _item_of(kind: Any) -> Any:
    """The type of what a list or a mapping holds."""
    held = [each for each in get_args(kind) if each is not ...]
    return held[-1] if held else Any


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, BaseModel)


def _value_at(values: Any, path: Sequence[str]) -> Any:
    """The value that was given at a place; None where it cannot be followed there."""
    for part in path:
        if isinstance(values, BaseModel):
            values = getattr(values, part, None)
        elif isinstance(values, Mapping):
            values = values.get(part)
        elif isinstance(values, list | tuple) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        else:
            return None
    return values


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
