from __future__ import annotations

import pytest
from hypothesis import example, given, settings, strategies as st

from ft import FtError
from ft.extension.references import Reference, parse_reference

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True)
DISTRIBUTIONS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}/", fullmatch=True)
ATTRIBUTES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
MODULES = st.from_regex(r"[A-Za-z_][a-z0-9_]{0,4}(\.[A-Za-z_][a-z0-9_]{0,4}){1,3}", fullmatch=True).filter(
    lambda name: not name.endswith(".py")
)
FILES = st.from_regex(r"(\./|/|~/|\.\./)?[a-z_]{1,6}(/[a-z_ ]{1,6}){0,2}\.py", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", Reference("all")),
        ("torchvision:vgg16", Reference("torchvision", "vgg16")),
        ("regex:features.*", Reference("regex", "features.*")),
        ("regex:", Reference("regex", "")),
        ("regex:(?:a|b):c", Reference("regex", "(?:a|b):c")),
        ("regex:net.py:x", Reference("regex", "net.py:x")),
        ("regex:a\nb", Reference("regex", "a\nb")),
        ("mirror:https://mirror.example/models", Reference("mirror", "https://mirror.example/models")),
        ("local:./resnet50.pth", Reference("local", "./resnet50.pth")),
        ("local:C:\\weights.pth", Reference("local", "C:\\weights.pth")),
        ("my-dist/regex:a", Reference("my-dist/regex", "a")),
        ("my.dist/regex", Reference("my.dist/regex")),
        ("my_package.module:MyFreeze", Reference("my_package.module", None, "module", "MyFreeze")),
        ("a.b:C:3:4", Reference("a.b", "3:4", "module", "C")),
        ("./my_freeze.py:MyFreeze", Reference("./my_freeze.py", None, "file", "MyFreeze")),
        ("my_freeze.py:MyFreeze:", Reference("my_freeze.py", "", "file", "MyFreeze")),
        ("C:\\code\\my_freeze.py:MyFreeze:5", Reference("C:\\code\\my_freeze.py", "5", "file", "MyFreeze")),
    ],
)
def test_what_a_reference_says(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a reference; write name or name:argument, as in 'regex:features.*'"),
        (":features", "':features' is not a reference; write name or name:argument, as in 'regex:features.*'"),
        ("two words", "'two words' is not a reference; write name or name:argument, as in 'regex:features.*'"),
        ("a.b:", "'a.b:' names no attribute; write a.b:Name, where Name is defined in a.b"),
        ("./f.py", "'./f.py' names no attribute; write ./f.py:Name, where Name is defined in ./f.py"),
        ("./f.py:a-b", "'./f.py:a-b' names no attribute; write ./f.py:Name, where Name is defined in ./f.py"),
    ],
)
def test_what_is_no_reference_is_told_with_the_way_out(text: str, message: str) -> None:
    with pytest.raises(FtError) as error:
        parse_reference(text)
    assert str(error.value) == message


@settings(deadline=None)
@given(st.text())
@example("a.py:")
@example("é.b:c")
def test_any_text_is_a_reference_that_reads_back_the_same_or_an_ft_error(text: str) -> None:
    try:
        reference = parse_reference(text)
    except FtError:
        return
    assert str(reference) == text
    assert parse_reference(str(reference)) == reference


@settings(deadline=None)
@given(st.one_of(NAMES, st.tuples(DISTRIBUTIONS, NAMES).map("".join)), st.none() | st.text())
def test_an_argument_is_opaque(name: str, argument: str | None) -> None:
    reference = Reference(name, argument)
    assert parse_reference(str(reference)) == reference


@settings(deadline=None)
@given(MODULES, ATTRIBUTES, st.none() | st.text())
def test_a_module_reference_reads_back_the_same(module: str, attribute: str, argument: str | None) -> None:
    reference = Reference(module, argument, "module", attribute)
    assert parse_reference(str(reference)) == reference


@settings(deadline=None)
@given(FILES, ATTRIBUTES, st.none() | st.text())
def test_a_file_reference_reads_back_the_same(file: str, attribute: str, argument: str | None) -> None:
    reference = Reference(file, argument, "file", attribute)
    assert parse_reference(str(reference)) == reference
