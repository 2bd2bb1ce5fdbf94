"""Components that are not installed as plugins: named where they lie, `pkg.module:Name` or `./file.py:Name`."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ft.errors import FtError, did_you_mean
from ft.extension.calls import noted, raised_at
from ft.extension.discovery import Component, check_record
from ft.extension.kinds import Kind
from ft.extension.references import Reference, parse_reference


def load_unpackaged(kind: Kind, reference: Reference) -> Component:
    """Import what `reference` names and make a component of it.

    It may be a record, a class or object with the record's callables as methods (and `Settings`, if it has any), or,
    for a kind with a single callable, a plain function. Raises FtError when it is none of these.
    """
    module = _import(reference)
    if not hasattr(module, reference.attribute):
        known = [name for name in vars(module) if not name.startswith("_")]
        raise FtError(f"{reference.name} has no '{reference.attribute}'.{did_you_mean(reference.attribute, known)}")
    record = _as_record(kind, reference, getattr(module, reference.attribute))
    return Component(kind, record, reference.name, "not packaged")


def refuse_unpackaged(uses: Iterable[str], where: str) -> None:
    """Raise FtError when a file that may come from elsewhere names code by module or file: it would be executed."""
    for use in uses:
        if names_code(use):
            raise FtError(f"{where} names the code '{use}', which would be run; if you trust it, add --trust-code")


def names_code(use: str) -> bool:
    """Whether a reference, or its argument, as in hub:./hubconf.py:resnet18, is a file or module with a name in it."""
    try:
        reference = parse_reference(use)
        return reference.place != "plugin" or names_code(reference.argument or "")
    except FtError:
        return False  # such as a bare path to images


def _import(reference: Reference) -> ModuleType:
    if reference.place == "module":
        try:
            return import_module(reference.name)
        except ImportError as error:
            raise FtError(f"cannot import {reference.name}: {error}{raised_at(error)}") from error
        except Exception as error:
            cause = f"{type(error).__name__}: {error}{raised_at(error)}"
            raise FtError(f"cannot import {reference.name}: {cause}") from error
    path = Path(os.path.expanduser(reference.name))
    if not path.is_file():
        raise FtError(f"there is no file {path} (from '{reference}')")
    # The name is unique to the path, so two files called my_freeze.py never answer for each other; it stands in
    # sys.modules so that dataclasses and pickling in a loader worker can find it.
    name = f"ft_file_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise FtError(f"{path} could not be imported: {type(error).__name__}: {error}{raised_at(error)}") from error
    return module


def _as_record(kind: Kind, reference: Reference, found: Any) -> Any:
    if isinstance(found, kind.record):
        return found
    if not kind.callables:
        raise FtError(f"'{reference}' is no {kind.noun}: it has to be a record, ft.{kind.record.__name__}(...)")
    source = _instance(found, reference) if inspect.isclass(found) else found
    wanted = ", ".join(kind.callables)
    if all(callable(getattr(source, name, None)) for name in kind.callables):
        given = {name: getattr(source, name) for name in _own_fields(kind) if hasattr(source, name)}
    elif callable(source) and len(kind.callables) == 1:
        given = {kind.callables[0]: source}
    else:
        raise FtError(
            f"'{reference}' is no {kind.noun}: it needs the method {wanted} (see ft describe {kind.name}:NAME)"
        )
    summary = (inspect.getdoc(found) or f"{reference.attribute} from {reference.name}").splitlines()[0]
    record = kind.record(name=reference.attribute, summary=summary, settings=getattr(source, "Settings", None), **given)
    try:
        check_record(record, kind)
    except TypeError as error:
        raise FtError(f"'{reference}' cannot be used: {error}") from None
    return record


def _instance(found: type[Any], reference: Reference) -> Any:
    try:
        with noted(f"raised in {reference.attribute}() of {reference.name}"):
            return found()
    except TypeError as error:
        raise FtError(f"'{reference}' cannot be used: {reference.attribute}() failed: {error}") from error


def _own_fields(kind: Kind) -> list[str]:
    """The record's fields that are not told from the reference, the docstring and the nested Settings class."""
    return [field.name for field in fields(kind.record) if field.name not in {"name", "summary", "settings"}]
