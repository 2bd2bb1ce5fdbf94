"""Puts what is typed, `--set` and flags, over what a config file says. Nothing that is typed is lost in silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from ft.errors import FtError


@dataclass(frozen=True)
class Typed:
    """A value for the config key at `path`, and how messages call it, as in "--set freeze.share=0.5"."""

    path: tuple[str, ...]
    value: Any
    called: str


def merge(model: type[BaseModel], tree: Mapping[str, Any], typed: Iterable[Typed]) -> dict[str, Any]:
    """Return `tree`, which is to become a `model`, with each typed value at its path.

    Of one key, the later value wins. A finer key goes over a coarser one in whichever order they were typed, so
    `head.dropout` is a setting of the `head` that the line names. Raises FtError for a key into a list that does not
    say which item is meant; all other mistakes are for `model` to find.
    """
    result: Any = dict(tree)
    for each in sorted((_whole(model, each) for each in typed), key=lambda each: len(each.path)):
        result = _put(model, result, each.path, each)
    return dict(result)


def leaves(model: type[BaseModel], tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The keys that a tree sets, with their values: of a section those in it, one by one; of a component all of it."""
    for key, value in tree.items():
        section = _field(model, key)
        if isinstance(value, Mapping) and _is_model(section) and not _is_component(section):
            yield from (((key, name), each) for name, each in value.items())
        else:
            yield (key,), value


def drop(tree: dict[str, Any], path: Sequence[str]) -> None:
    """Leave a key out, and the section that it was the last one of."""
    first, *rest = path
    if rest and first in tree:
        drop(tree[first], rest)
    if not rest or not tree.get(first, True):
        tree.pop(first, None)


def _whole(model: type[BaseModel], each: Typed) -> Typed:
    """The same with the key of the component where the path is its `use`."""
    *above, last = each.path
    schema = _schema_at(model, above)
    return replace(each, path=tuple(above)) if last == "use" and _is_component(_item_of(schema) or schema) else each


def _schema_at(model: type[BaseModel], path: Iterable[str]) -> Any:
    schema: Any = model
    for key in path:
        if (item := _item_of(schema)) is not None:
            schema = item
            if _is_number(key):
                continue
        schema = _field(schema, key)
    return schema


def _put(schema: Any, old: Any, path: tuple[str, ...], each: Typed) -> Any:
    """Return `old`, whose form `schema` describes, with the typed value at `path` inside it."""
    if not path:
        return _over(schema, old, each.value)
    if (item := _item_of(schema)) is not None:
        return _put_into_item(item, old, path, each)
    key, *rest = path
    tree = _as_tree(schema, old)
    if tree is None:
        what = ".".join(each.path[: -len(path)])
        hint = f"; give the whole list: --set '{what}=[...]'" if isinstance(old, list) else ""
        raise FtError(f"{each.called}: {what} is {old!r}, which has no key '{key}'{hint}")
    below = tree[key] if key in tree else _default(schema, key) if rest else None
    return {**tree, key: _put(_field(schema, key), below, tuple(rest), each)}


def _over(schema: Any, old: Any, new: Any) -> Any:
    """Return what `new` makes of `old`, where both are the whole value of one key.

    A section, or a component's settings without `use`, changes the keys that it names. Another component in an old
    one's place takes what is the key's own, such as weights.sources, and nothing else; `none` not even that.
    """
    if isinstance(new, str) and _is_component(schema) and isinstance(old, dict):
        if old.get("use", new) == new:
            return {**old, "use": new}
        own = {key: value for key, value in old.items() if key in schema.model_fields and new != "none"}
        return {**own, "use": new} if own.keys() - {"use"} else new
    if isinstance(new, dict) and "use" not in new and _holds_keys(schema):
        return {**(_as_tree(schema, old) or {}), **new}
    return new


def _put_into_item(item: type[BaseModel], old: Any, path: tuple[str, ...], each: Typed) -> list[Any]:
    """Put a value into the one item of a list that `path` means: by its number, or as the only one."""
    items = old if isinstance(old, list) else [] if old is None else [old]
    at, rest = (int(path[0]), path[1:]) if _is_number(path[0]) else (0, path)
    where = ".".join(each.path[: len(each.path) - len(path)])
    if not items:
        raise FtError(
            f"{each.called}: {where} is empty; write {_how_to_begin(item, where, rest[0] if rest else 'KEY')}"
        )
    if at >= len(items) or (rest == path and len(items) > 1):
        places = [f"{where}.{number}.{'.'.join(rest)} ({_named(one)})" for number, one in enumerate(items)]
        raise FtError(f"{each.called}: {where} has {len(items)} items; say which one you mean: {', '.join(places)}")
    if not rest:
        raise FtError(f"{each.called}: it is one of a list; give the whole list: --set '{where}=[...]'")
    return [_put(item, one, rest, each) if number == at else one for number, one in enumerate(items)]


def _how_to_begin(item: type[BaseModel], where: str, key: str) -> str:
    """What to type for a list that has no item yet."""
    return f"--set '{where}={{use: NAME, {key}: ...}}'" if _is_component(item) else f"--set '{where}=[{{{key}: ...}}]'"


def _named(item: Any) -> str:
    """What a person calls an item of a list: its reference."""
    if isinstance(item, dict):
        return _named(item.get("use", item.get("match", "?")))
    return str(item)


def _as_tree(schema: Any, old: Any) -> dict[str, Any] | None:
    """What holds the keys below a value: nothing yet, a mapping, a component by its reference; None for all else."""
    if isinstance(old, str) and _is_component(schema):
        return {"use": old}
    return {} if old is None else old if isinstance(old, dict) else None


def _item_of(schema: Any) -> type[BaseModel] | None:
    """The model that each item of a list is, where `schema` is a list of models."""
    first = next(iter(get_args(schema)), None)
    return first if get_origin(schema) is tuple and _is_model(first) else None


def _field(schema: Any, key: str) -> Any:
    return schema.model_fields[key].annotation if _is_model(schema) and key in schema.model_fields else Any


def _default(schema: Any, key: str) -> str | None:
    """The component that `key` names where nobody names one."""
    field = schema.model_fields.get(key) if _is_model(schema) else None
    return getattr(field.default, "use", None) if field else None


def _is_model(schema: Any) -> bool:
    return isinstance(schema, type) and get_origin(schema) is None and issubclass(schema, BaseModel)


def _is_component(schema: Any) -> bool:
    return _is_model(schema) and "use" in schema.model_fields


def _holds_keys(schema: Any) -> bool:
    return _is_model(schema) or get_origin(schema) is dict


def _is_number(key: str) -> bool:
    return key.isascii() and key.isdecimal()
