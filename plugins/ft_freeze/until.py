"""`until:layer3`: everything from the input up to and including a stage, or a module or parameter inside one."""

from ft import Backbone, FtError, Settings, nearest


def select(backbone: Backbone, argument: str | None, settings: Settings) -> frozenset[str]:
    """The order is that of the stages and, within the last, of the module. Raises FtError for a name that is none."""
    if not argument:
        raise FtError("until needs a stage or a module, as in 'until:layer3'")
    target = _target(argument, backbone)
    members = [backbone.parameters_under(*stage.paths) for stage in backbone.stages]
    last = max(index for index, names in enumerate(members) if target & set(names))
    end = max(index for index, name in enumerate(members[last]) if name in target) + 1
    return frozenset(name for names in [*members[:last], members[last][:end]] for name in names)


def _target(argument: str, backbone: Backbone) -> set[str]:
    """The parameters of what `argument` names; where that has none, as pooling has, of the nearest module before it."""
    for stage in backbone.stages:
        if stage.name == argument:
            return set(backbone.parameters_under(*stage.paths))
    paths, names = backbone.module_paths(), backbone.parameter_names()
    if argument not in paths and argument not in names:
        if backbone.in_head(argument):
            raise FtError(
                f"'{argument}' lies in the head of {backbone}, which always trains; 'all' freezes all before it"
            )
        stages = [stage.name for stage in backbone.stages]
        near = nearest(argument, dict.fromkeys([*stages, *paths]), most=3) or stages
        raise FtError(f"{backbone} has no stage or module '{argument}'; near it are {', '.join(near)}")
    before = paths[: paths.index(argument) + 1] if argument in paths else (argument,)
    for path in reversed(before):
        inside = backbone.parameters_under(path)
        if inside and not argument.startswith(f"{path}."):
            return set(inside)
    raise FtError(f"nothing up to '{argument}' in {backbone} has parameters to freeze")
