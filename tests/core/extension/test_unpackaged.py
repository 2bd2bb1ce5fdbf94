from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from backbones import small
from ft import FtError
from ft.config.schema import ComponentConfig
from ft.extension.installed import Component, Plugins, implementation, read_settings
from ft.extension.references import parse_reference
from ft.extension.unpackaged import refuse_unpackaged
from ft.model.freezing import choose_frozen

NOTHING_INSTALLED = Plugins(())


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(source: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
        return path

    return write


def get(reference: str, kind: str = "freeze") -> Component:
    return NOTHING_INSTALLED.get(kind, parse_reference(reference))


FUNCTION = '''
def scale_only(backbone, argument, settings):
    """Freeze the parameter of that name.

    And no other.
    """
    return {argument}
'''

CLASS = '''
from ft import Settings

class Named:
    """Freeze what the settings name."""

    class Settings(Settings):
        names: list[str] = []

    allows_empty = True
    example = "Named"

    def select(self, backbone, argument, settings):
        return set(settings.names)
'''


def test_a_function_in_a_file_is_a_strategy(write: Any) -> None:
    path = write(FUNCTION)
    rule = ComponentConfig(use=f"{path}:scale_only:scale")
    assert choose_frozen([rule], [], small(), NOTHING_INSTALLED).names == {"scale"}
    component = get(f"{path}:scale_only")
    assert component.record.summary == "Freeze the parameter of that name."
    assert (component.distribution, component.version) == (str(path), "not packaged")


def test_a_class_with_settings_in_a_file_is_a_strategy(write: Any) -> None:
    component = get(f"{write(CLASS)}:Named")
    assert component.record.allows_empty
    assert component.record.example == "Named"
    settings = read_settings(component, {"names": ["a"]}, "freeze")
    assert implementation(component, "select")(small(), None, settings) == {"a"}


def test_a_record_in_a_file_is_taken_as_it_is(write: Any) -> None:
    source = FUNCTION + "from ft import FreezeStrategy\nrecord = FreezeStrategy('scale', 'One', select=scale_only)\n"
    assert get(f"{write(source)}:record").name == "scale"


def test_optional_callables_are_taken_too(write: Any) -> None:
    source = "class Head:\n    def build(self, *a): ...\n    def build_map(self, *a): ...\n"
    component = get(f"{write(source)}:Head", kind="head")
    assert component.record.summary.startswith("Head from ")
    assert callable(component.record.build_map)


def test_a_module_on_the_path_will_do(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("", "unpackaged_package/__init__.py")
    write(FUNCTION, "unpackaged_package/freeze.py")
    monkeypatch.syspath_prepend(tmp_path)
    component = get("unpackaged_package.freeze:scale_only")
    assert (component.name, component.distribution) == ("scale_only", "unpackaged_package.freeze")


def test_two_files_of_one_name_do_not_answer_for_each_other(write: Any) -> None:
    first, second = write("def f(*a): return 1", "a/x.py"), write("def f(*a): return 2", "b/x.py")
    assert [implementation(get(f"{path}:f"), "select")() for path in (first, second)] == [1, 2]


def test_a_file_is_imported_once(write: Any) -> None:
    path = write("value = []\ndef f(*a): return value")
    assert implementation(get(f"{path}:f"), "select")() is implementation(get(f"{path}:f"), "select")()


@pytest.mark.parametrize(
    ("source", "reference", "message"),
    [
        ("", "{path}:Mine", r"has no 'Mine'\."),
        (FUNCTION, "{path}:scale_onl", r"has no 'scale_onl'\. Did you mean 'scale_only'\?"),
        ("x = 3", "{path}:x", r"is no freezing strategy: it needs the method select \(see ft describe freeze:NAME\)"),
        (
            "class X:\n    def __init__(self, n): ...\n    def select(self): ...",
            "{path}:X",
            r"cannot be used: X\(\) failed",
        ),
        ("def _f(*a): ...", "{path}:_f", r"cannot be used: freezing strategy name '_f' is not made of letters"),
        ("import no_such_module_here", "{path}:x", "could not be imported: ModuleNotFoundError: No module named"),
        ("def f(:", "{path}:f", "could not be imported: SyntaxError"),
        ("", "{path}x.py:f", r"there is no file .*x\.py"),
        ("", "no_such_module_here.sub:f", "cannot import no_such_module_here.sub: No module named"),
    ],
)
def test_what_cannot_be_used_is_told(write: Any, source: str, reference: str, message: str) -> None:
    with pytest.raises(FtError, match=message):
        get(reference.format(path=write(source)))


@pytest.mark.parametrize("use", ["./a.py:B", "pkg.mod:B", "hub:./hubconf.py:net", "mine/hub:pkg.mod:net:x"])
def test_a_reference_that_names_code_is_refused_from_elsewhere(use: str) -> None:
    with pytest.raises(FtError, match=r"run\.yaml names the code '.*', which would be run.*--trust-code"):
        refuse_unpackaged(["all", use], "run.yaml")


def test_other_references_are_not_taken_for_code() -> None:
    uses = (
        "all",
        "regex:features.*",
        "./photos",
        "hf:timm/resnet18.a1_in1k",
        "mirror:https://a.example:8080/x",
        "until:a.b",
    )
    refuse_unpackaged((*uses, "fsspec:s3://bucket/a.pth", "timm:resnet18", "local:./model.pth"), "run.yaml")


def test_a_file_that_failed_to_import_is_not_half_remembered(write: Any) -> None:
    path = write("raise RuntimeError('first')")
    before = set(sys.modules)
    with pytest.raises(FtError, match="RuntimeError: first"):
        get(f"{path}:f")
    assert set(sys.modules) == before
    path.write_text("def f(*a): return 1")
    assert get(f"{path}:f").name == "f"
