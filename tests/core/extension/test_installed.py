from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import field_validator

import ft
from ft import FreezeStrategy, FtError, HeadBuilder, Settings, hookimpl
from ft.extension import hookspecs
from ft.extension.discovery import GROUP
from ft.extension.installed import Plugins, implementation, load_plugins, read_settings, settings_class
from ft.extension.kinds import KINDS
from ft.extension.references import parse_reference

Module = Callable[..., str]


def select(backbone: Any, argument: Any, settings: Any) -> set[str]:
    return set()


def strategy(name: str = "mine", **fields: Any) -> FreezeStrategy:
    return FreezeStrategy(name, **{"summary": "A test's own", "select": select, **fields})


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Module:
    """A function that makes a module of what it is given and returns the name under which it can be imported."""

    def make(name: str = "test_plugin_module", **content: Any) -> str:
        made = ModuleType(name)
        vars(made).update(content)
        monkeypatch.setitem(sys.modules, name, made)
        return name

    return make


def yielding(*records: Any) -> Any:
    @hookimpl
    def ft_freeze_strategies() -> Any:
        yield from records

    return ft_freeze_strategies


def load(*found: tuple[str, str, str]) -> Plugins:
    """Load (distribution, entry point name, value)."""
    return load_plugins((EntryPoint(name, value, GROUP), distribution, "1.0") for distribution, name, value in found)


def load_one(value: str) -> Plugins:
    return load(("some-dist", "mine", value))


def error_of(plugins: Plugins) -> str:
    (plugin,) = plugins.broken()
    return plugin.error


def get(plugins: Plugins, text: str, kind: str = "freeze") -> Any:
    return plugins.get(kind, parse_reference(text))


# What is found


def test_a_component_knows_its_distribution_and_version(module: Module) -> None:
    plugins = load_one(module(ft_freeze_strategies=yielding(strategy())))
    component = get(plugins, "mine:argument")
    assert (component.name, component.distribution, component.version) == ("mine", "some-dist", "1.0")
    assert component.kind is KINDS["freeze"]
    (plugin,) = plugins.all
    assert (plugin.name, plugin.module, plugin.state) == ("mine", "test_plugin_module", "ok")


def test_two_distributions_may_use_the_same_entry_point_name(module: Module) -> None:
    plugins = load(
        ("dist-a", "freeze", module("module_a", ft_freeze_strategies=yielding(strategy("a")))),
        ("dist-b", "freeze", module("module_b", ft_freeze_strategies=yielding(strategy("b")))),
    )
    assert {(c.name, c.distribution) for c in plugins.components()} == {("a", "dist-a"), ("b", "dist-b")}


def test_an_entry_point_may_name_an_object_inside_a_module(module: Module) -> None:
    class Inside:
        @hookimpl
        def ft_freeze_strategies(self) -> Any:
            return [strategy()]

    assert load_one(module(inside=Inside()) + ":inside").has("freeze", "mine")


def test_a_list_will_do_as_well_as_a_generator(module: Module) -> None:
    assert load_one(module(ft_freeze_strategies=hookimpl(lambda: [strategy()]))).has("freeze", "mine")


def test_components_are_listed_by_kind_then_name(module: Module) -> None:
    heads = hookimpl(lambda: [HeadBuilder("a", "A head", build=select)])
    plugins = load_one(module(ft_head_builders=heads, ft_freeze_strategies=yielding(strategy("z"), strategy("b"))))
    assert [c.name for c in plugins.components()] == ["b", "z", "a"]
    assert [c.name for c in plugins.components("head")] == ["a"]


def test_installed_distributions_are_found_without_importing_them_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "found_plugin-0.7.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: found-plugin\nVersion: 0.7\n")
    (info / "entry_points.txt").write_text("[ft.plugins]\nfreeze = found_plugin_module\n")
    (tmp_path / "found_plugin_module.py").write_text(
        textwrap.dedent(inspect.getdoc(hookspecs.ft_freeze_strategies).partition("\n")[2])  # type: ignore[union-attr]
    )
    leftover = tmp_path / "gone-1.0.dist-info"  # as an interrupted uninstall leaves it
    leftover.mkdir()
    (leftover / "entry_points.txt").write_text("[ft.plugins]\ngone = gone\n")
    monkeypatch.syspath_prepend(tmp_path)
    component = get(load_plugins(), "weights-only")
    assert (component.distribution, component.version) == ("found-plugin", "0.7")
    assert "gone" not in {plugin.name for plugin in load_plugins().all}


def test_the_first_of_two_installations_of_a_distribution_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.0", "2.0"):
        info = tmp_path / version / f"found_plugin-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: found-plugin\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("[ft.plugins]\nfreeze = absent_module\n")
        monkeypatch.syspath_prepend(tmp_path / version)
    assert [plugin.version for plugin in load_plugins().all if plugin.distribution == "found-plugin"] == ["2.0"]


# Names that several distributions, or none, provide


@pytest.fixture
def twice(module: Module) -> Plugins:
    return load(
        ("dist-a", "freeze", module("module_a", ft_freeze_strategies=yielding(strategy(), strategy("single")))),
        ("Dist_B", "freeze", module("module_b", ft_freeze_strategies=yielding(strategy()))),
    )


def test_a_name_provided_twice_is_an_error_only_when_asked_for(twice: Plugins) -> None:
    assert get(twice, "single").distribution == "dist-a"
    with pytest.raises(FtError) as error:
        get(twice, "mine:x")
    assert str(error.value) == (
        "more than one freezing strategy is named 'mine'. Write which one you mean:\n"
        "  Dist_B/mine:x   (Dist_B 1.0)\n"
        "  dist-a/mine:x   (dist-a 1.0)\n"
        "or say it once, in a config file: prefer: {freeze:mine: Dist_B}"
    )


@pytest.mark.parametrize(("text", "distribution"), [("dist-a/mine", "dist-a"), ("dist.b/mine:x", "Dist_B")])
def test_naming_the_distribution_settles_it(twice: Plugins, text: str, distribution: str) -> None:
    assert get(twice, text).distribution == distribution


def test_an_unknown_name_is_told_with_the_nearest_and_all_that_exist(twice: Plugins) -> None:
    with pytest.raises(FtError) as error:
        get(twice, "singel")
    assert str(error.value) == ("no freezing strategy named 'singel'. Did you mean 'single'? Installed: mine, single")


def test_a_name_of_another_kind_is_told(twice: Plugins) -> None:
    with pytest.raises(FtError, match="Installed: none\n'single' is a freezing strategy"):
        get(twice, "single", kind="head")


def test_a_broken_plugin_is_told_when_an_unknown_component_is_asked_for(module: Module) -> None:
    plugins = load(
        ("dist-a", "good", module(ft_freeze_strategies=yielding(strategy()))),
        ("dist-b", "bad", "module_that_does_not_exist"),
    )
    assert get(plugins, "mine").distribution == "dist-a"
    with pytest.raises(
        FtError,
        match=r"(?s)no freezing strategy named 'theirs'.*\ndist-b 1\.0 could not be loaded and may provide it: "
        "ModuleNotFoundError: No module named 'module_that_does_not_exist'",
    ):
        get(plugins, "theirs")


# What plugins get wrong


@pytest.mark.parametrize(
    ("source", "cause", "line"),
    [
        ("raise RuntimeError('no\\nlicence')", "RuntimeError: no licence", 1),
        ("def broken(:", "SyntaxError: ", 1),
        ("import sys; sys.exit('not on this machine')", "SystemExit: not on this machine", 1),
        ("import os\n\nimport not_there", "ModuleNotFoundError: No module named 'not_there'", 3),
    ],
)
def test_a_plugin_that_fails_to_import_is_kept_with_a_cause_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, cause: str, line: int
) -> None:
    (tmp_path / "failing_plugin.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    error = error_of(load_one("failing_plugin"))
    assert error.startswith(cause)
    assert error.endswith(("(failing_plugin.py, line 1)", f"({tmp_path / 'failing_plugin.py'}:{line})"))
    assert "\n" not in error


def test_a_misspelt_hook_is_told_with_the_nearest(module: Module) -> None:
    content = {"ft_freeze_strategys": hookimpl(lambda: [strategy()])}
    assert error_of(load_one(module(**content))) == (
        "TypeError: there is no hook ft_freeze_strategys. Did you mean 'ft_freeze_strategies'?"
    )


def test_a_plugin_without_hooks_is_told_which_there_are(module: Module) -> None:
    error = error_of(load_one(module(ft_freeze_strategies=lambda: [strategy()])))  # not marked
    assert error.startswith("TypeError: it provides nothing; mark at least one of these functions with @hookimpl: ")
    assert all(kind.hook in error for kind in KINDS.values())


def test_a_hook_that_wants_arguments_is_broken(module: Module) -> None:
    def ft_freeze_strategies(config: Any) -> Any:
        return [strategy()]

    assert "'config'" in error_of(load_one(module(ft_freeze_strategies=hookimpl(ft_freeze_strategies))))


@pytest.mark.parametrize("returned", [None, "mine", 3, strategy()])
def test_a_hook_that_returns_no_records_is_broken(module: Module, returned: Any) -> None:
    error = error_of(load_one(module(ft_freeze_strategies=hookimpl(lambda: returned))))
    assert error == f"TypeError: ft_freeze_strategies returned {returned!r}; it yields FreezeStrategy records"


def test_a_record_of_another_kind_is_broken(module: Module) -> None:
    error = error_of(load_one(module(ft_freeze_strategies=yielding(HeadBuilder("a", "A head", build="a:b")))))
    assert error.startswith("TypeError: ft_freeze_strategies yielded HeadBuilder(")


def test_two_records_of_one_name_in_a_plugin_are_broken(module: Module) -> None:
    error = error_of(load_one(module(ft_freeze_strategies=yielding(strategy(), strategy()))))
    assert error == "TypeError: ft_freeze_strategies yields two freezing strategy records named 'mine'"


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"name": "two words"}, "freezing strategy name 'two words' is not made of letters, digits, '-' and '_'"),
        ({"name": 3}, "freezing strategy name 3 is not made of letters, digits, '-' and '_'"),
        ({"summary": ""}, "freezing strategy 'mine' needs a summary of one line"),
        ({"summary": "two\nlines"}, "freezing strategy 'mine' needs a summary of one line"),
        ({"summary": 3}, "freezing strategy 'mine' needs a summary of one line"),
        ({"select": None}, "freezing strategy 'mine': select is None; give a callable or 'package.module:name'"),
        ({"select": "module"}, "freezing strategy 'mine': select is 'module'; give a callable or"),
        ({"select": ":name"}, "freezing strategy 'mine': select is ':name'; give a callable or"),
    ],
)
def test_a_record_that_could_not_be_used_is_broken(module: Module, fields: dict[str, Any], cause: str) -> None:
    assert error_of(load_one(module(ft_freeze_strategies=yielding(strategy(**fields))))).startswith(
        f"TypeError: {cause}"
    )


# Implementations and settings


class MySettings(Settings):
    count: int = 1


def component(module: Module, **fields: Any) -> Any:
    return get(load_one(module(ft_freeze_strategies=yielding(strategy(**fields)))), "mine")


def test_an_implementation_is_a_callable_or_where_to_find_one(module: Module) -> None:
    assert inspect.unwrap(implementation(component(module), "select")) is select
    pointer = f"{module('implementation_module', choose=select)}:choose"
    assert inspect.unwrap(implementation(component(module, select=pointer), "select")) is select


def failing(*_: Any) -> Any:
    raise KeyError("colour")


def failing_later(*_: Any) -> Any:
    yield "first"
    raise KeyError("colour")


def refusing(*_: Any) -> Any:
    raise FtError("write a number")


class Callable_:
    def __call__(self, *_: Any) -> Any:
        raise KeyError("colour")


@pytest.mark.parametrize("function", [failing, failing_later, lambda *_: failing(), Callable_()])
def test_what_a_plugin_raises_says_whose_it_is(module: Module, function: Any) -> None:
    with pytest.raises(KeyError, match="colour") as error:
        list(implementation(component(module, select=function), "select")(None, None, None))
    (note,) = error.value.__notes__
    assert re.fullmatch(
        rf"raised in select of freezing strategy 'mine', of some-dist 1\.0 \({re.escape(__file__)}:\d+\)", note
    )


def test_a_note_is_added_once_where_a_plugin_calls_another(module: Module) -> None:
    inner = implementation(component(module, select=failing), "select")
    with pytest.raises(KeyError) as error:
        implementation(component(module, select=inner), "select")()
    assert len(error.value.__notes__) == 1


def test_what_a_plugin_tells_the_user_gets_no_note(module: Module) -> None:
    with pytest.raises(FtError, match="write a number") as error:
        implementation(component(module, select=refusing), "select")()
    assert not hasattr(error.value, "__notes__")


class Upset(Settings):
    count: int = 1

    @field_validator("count")
    @classmethod
    def _check(cls, value: int) -> int:
        return {1: 1}[value]


def test_what_a_plugins_settings_raise_says_whose_they_are(module: Module) -> None:
    with pytest.raises(KeyError) as error:
        read_settings(component(module, settings=Upset), {"count": 3}, "freeze")
    assert error.value.__notes__ == ["raised in the settings of freezing strategy 'mine' of some-dist 1.0"]


def test_a_pointer_to_nothing_is_told_with_the_distribution_and_the_nearest(module: Module) -> None:
    pointer = f"{module('implementation_module', select=select)}:selct"
    with pytest.raises(FtError) as error:
        implementation(component(module, select=pointer), "select")
    assert str(error.value) == (
        "freezing strategy 'mine' of some-dist 1.0 names 'implementation_module:selct' as its select, "
        "which does not exist; did you mean 'implementation_module:select'?"
    )


def test_an_implementation_that_cannot_be_imported_is_told_with_the_distribution(module: Module) -> None:
    with pytest.raises(FtError, match=r"'mine' of some-dist 1\.0 cannot be used: importing absent_module failed: "):
        implementation(component(module, select="absent_module:select"), "select")


def test_settings_are_a_class_or_where_to_find_one_or_none_at_all(module: Module) -> None:
    pointer = f"{module('settings_module', MySettings=MySettings)}:MySettings"
    for given in (MySettings, pointer):
        assert read_settings(component(module, settings=given), {"count": 3}, "freeze.mine") == MySettings(count=3)
    assert settings_class(component(module)) is Settings
    with pytest.raises(FtError, match=r"unknown setting 'freeze\.mine\.count'\. It takes no settings"):
        read_settings(component(module), {"count": 3}, "freeze.mine")


def test_unfit_settings_are_told_with_the_component_and_where_to_read_about_it(module: Module) -> None:
    with pytest.raises(FtError) as error:
        read_settings(component(module, settings=MySettings), {"cuont": 3}, "freeze.mine")
    assert str(error.value) == (
        "unknown setting 'freeze.mine.cuont'. Did you mean 'count'? It takes: count\n"
        "(freezing strategy 'mine' of some-dist 1.0; see ft describe freeze:mine)"
    )


def test_settings_that_are_no_settings_class_are_told(module: Module) -> None:
    pointer = f"{module('settings_module', MySettings=dict)}:MySettings"
    with pytest.raises(FtError, match=r"of some-dist 1\.0 names <class 'dict'> as its settings; .*ft\.Settings"):
        read_settings(component(module, settings=pointer), {}, "freeze.mine")


def test_an_implementation_that_fails_while_it_is_imported_is_told_or_raised(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_implementation.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    failing = component(module, select="failing_implementation:select")
    with pytest.raises(FtError, match="importing failing_implementation failed: ZeroDivisionError: division by zero"):
        implementation(failing, "select")
    monkeypatch.setenv("FT_RAISE_PLUGIN_ERRORS", "1")
    with pytest.raises(ZeroDivisionError):
        implementation(failing, "select")


def test_a_hook_argument_with_a_default_is_told(module: Module) -> None:
    def ft_freeze_strategies(config: Any = None) -> Any:
        return [strategy()]

    assert error_of(load_one(module(ft_freeze_strategies=hookimpl(ft_freeze_strategies)))) == (
        "TypeError: ft_freeze_strategies takes no arguments; remove 'config' from its definition"
    )


# The contract


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_hook_documents_a_plugin_that_loads(kind: Any, module: Module) -> None:
    docstring = inspect.getdoc(getattr(hookspecs, kind.hook)) or ""
    content: dict[str, Any] = {}
    exec(docstring.partition("\n")[2], content)
    plugins = load_one(module(**content))
    assert plugins.broken() == []
    assert {c.kind.name for c in plugins.components()} == {kind.name}


def test_every_hook_is_of_a_kind_and_every_kind_has_a_hook() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("ft_")}
    assert hooks == {kind.hook for kind in KINDS.values()}


def test_all_built_in_plugins_load_and_none_is_treated_differently() -> None:
    plugins = load_plugins()
    assert [plugin for plugin in plugins.broken() if plugin.distribution == "ftkit"] == []
    assert {c.kind.name for c in plugins.components() if c.distribution == "ftkit"} == set(KINDS)


def test_looking_at_all_built_in_plugins_loads_neither_torch_nor_pydantic() -> None:
    code = """
import json, sys, ft, ft.extension.installed
from importlib.metadata import entry_points
built_in = [(e, "ftkit", "") for e in entry_points(group="ft.plugins") if e.dist.name == "ftkit"]
plugins = ft.extension.installed.load_plugins(built_in)
heavy = {"torch", "torchvision", "pydantic", "numpy", "PIL", "requests", "yaml"} & set(sys.modules)
print(json.dumps([len(plugins.components()), sorted(heavy)]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, heavy = json.loads(done.stdout)
    assert count > 5
    assert heavy == []


def test_what_ft_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ft' has no attribute 'Setings'"):
        _ = ft.Setings
