"""`regex:PATTERN`: parameters, and all inside modules, whose whole name the pattern matches."""

import re

from ft import Backbone, FtError, Settings, nearest


def select(backbone: Backbone, argument: str | None, settings: Settings) -> frozenset[str]:
    """Raises FtError for a pattern that is none, or that matches nothing."""
    if not argument:
        raise FtError("regex needs a pattern, as in 'regex:features.*'")
    try:
        pattern = re.compile(argument)
    except (re.error, OverflowError, RecursionError) as error:
        raise FtError(f"pattern '{argument}' is no regular expression: {error}") from None
    names = [name for name, _ in backbone.module.named_parameters(remove_duplicate=False)]
    paths = [path for path, _ in backbone.module.named_modules(remove_duplicate=False) if path]
    modules = tuple(f"{path}." for path in paths if pattern.fullmatch(path))
    selected = frozenset(name for name in names if pattern.fullmatch(name) or name.startswith(modules))
    if not selected:
        raise FtError(f"pattern '{argument}' matches no parameter of {backbone}; {_hint(pattern, backbone)}")
    return selected


def _hint(pattern: re.Pattern[str], backbone: Backbone) -> str:
    """What to type instead: the pattern may match a part of a name only, or be near to one."""
    names = backbone.parameter_names()
    inside = next((name for name in names if pattern.search(name)), None)
    if inside:
        return f"it matches only a part of '{inside}', and the whole name has to match: 'regex:.*({pattern.pattern}).*'"
    plain = re.sub(r"[^\w.]|\.(?=[*+?])", "", pattern.pattern)
    near = nearest(plain, [*backbone.module_paths(), *names], most=1)
    example = next((name for path in near for name in backbone.parameters_under(path)), names[0])
    return f"names look like '{example}'"
