"""The head of a finished run, carried into a new one: as it was, or with rows for classes that it did not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ft.config.schema import ComponentConfig
from ft.data.origin import Origin
from ft.errors import FtError
from ft.extension.installed import Plugins, implementation
from ft.extension.records import Backbone
from ft.extension.references import parse_reference
from ft.extension.tasks import LabelSpace
from ft.model.head import KEEP, Model
from ft.model.state_dict import read_tensors
from ft.text.counting import some_names


def carry_head(
    model: Model, backbone: Backbone, head: ComponentConfig, origin: Origin, space: LabelSpace, plugins: Plugins
) -> None:
    """Put what the head of the run knows into that of `model`, which the same builder just built for the outputs of
    `space`. A network without values stays so, and is checked alone.

    Where there are more classes, each row goes where the class of its name is now. The rows of new classes stay as the
    builder drew them, but are made shorter where they are longer on average than those that are kept: what nothing was
    learnt for speaks no louder than what is known. Raises FtError for a head that cannot grow, and where the weights of
    the run do not fit.
    """
    if origin.head == "new" or head.use == KEEP:
        return
    grows = space.names != origin.space.names
    places = _places(origin.space, space) if grows else ()
    tensors = read_tensors(origin.weights).tensors if not _is_empty(model.module) else {}
    for path in model.head_paths:
        part = model.module.get_submodule(path)
        rows = _class_rows(part, head, plugins) if grows and path != backbone.pool_path else ()
        if not _is_empty(part):
            known = {
                name.removeprefix(f"{path}."): each for name, each in tensors.items() if name.startswith(f"{path}.")
            }
            _fill(part, known, rows, places, f"{origin.weights}: {path}")


def what_becomes_of_the_head(origin: Origin, space: LabelSpace) -> str:
    """The same, as it is said."""
    if origin.head == "new":
        return f"the head is a new one; that of {origin.folder} is left behind"
    new = [name for name in space.names if name not in origin.space.names]
    if not new:
        return f"the head goes on as it was in {origin.folder}"
    return f"the head knows {some_names(origin.space.names)} of {origin.folder}, and learns {some_names(new)}"


def _places(known: LabelSpace, space: LabelSpace) -> Sequence[int]:
    """Which output of `space` each of those of `known` becomes, by name. Raises FtError where outputs are not one a
    name."""
    if known.outputs != len(known.names) or space.outputs != len(space.names):
        raise FtError("a head grows where it has an output for each class, and of this task it has others")
    return [space.names.index(name) for name in known.names]


def _class_rows(part: nn.Module, head: ComponentConfig, plugins: Plugins) -> Sequence[str]:
    component = plugins.get("head", parse_reference(head.use))
    if component.record.class_rows is None:
        raise FtError(
            f"head builder '{component.name}' of {component.distribution} {component.version} does not say where "
            "it has a row for each class, so it cannot grow; name a new head: --head linear"
        )
    rows: Sequence[str] = implementation(component, "class_rows")(part)
    return rows


@torch.no_grad()
def _fill(part: nn.Module, known: Mapping[str, Tensor], rows: Sequence[str], places: Sequence[int], where: str) -> None:
    own = part.state_dict()
    for name, tensor in own.items():
        kept = known.get(name)
        wanted = [len(places), *tensor.shape[1:]] if name in rows else list(tensor.shape)
        if kept is None or list(kept.shape) != wanted:
            found = "is not there" if kept is None else f"is {list(kept.shape)}"
            raise FtError(f"{where}.{name} {found}, and the head needs {wanted}; was the run made by another version?")
        if name not in rows:
            tensor.copy_(kept)
            continue
        if tensor.ndim > 1 and tensor.isfinite().all():
            drawn, longest = (float(each.flatten(1).norm(dim=1).mean()) for each in (tensor, kept))
            tensor.mul_(min(1.0, longest / drawn) if drawn else 1.0)
        tensor[list(places)] = kept.to(tensor)


def _is_empty(module: nn.Module) -> bool:
    return any(each.is_meta for each in module.parameters())
