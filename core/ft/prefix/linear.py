"""Whether all that is left to train is one linear layer, which full-batch methods solve at once and of which many train
side by side; and what comes before it."""

from __future__ import annotations

import copy

import torch
from torch import fx, nn

from ft.prefix.graph import has_hooks
from ft.prefix.layout import from_storage


def linear_head(suffix: fx.GraphModule) -> nn.Linear | None:
    """Return the layer when nothing else in `suffix` trains, and what it returns, once, is what the network does.

    Then its inputs [N, D] never change, provided that nothing between them and the cut does so by itself.
    """
    node = _last_linear(suffix, suffix.graph)
    if node is None:
        return None
    layer = suffix.get_submodule(str(node.target))
    assert isinstance(layer, nn.Linear)
    own = (node.target, f"{node.target}.weight", f"{node.target}.bias")
    alone = sum(other.target in own for other in suffix.graph.nodes) == 1
    trains = {id(parameter) for parameter in suffix.parameters() if parameter.requires_grad}
    return layer if alone and trains <= set(map(id, layer.parameters())) else None


def before_head(suffix: fx.GraphModule) -> fx.GraphModule:
    """What `suffix` does until its `linear_head`: it returns what enters that, [N, D]."""
    before = fx.GraphModule(suffix, copy.deepcopy(suffix.graph))
    node = _last_linear(suffix, before.graph)
    assert node is not None, "nobody asks for what comes before a head that is none"
    before.graph.output_node().args = (node.args[0],)
    before.graph.eliminate_dead_code()
    before.recompile()
    return before


def before_layer(suffix: fx.GraphModule, path: str) -> fx.GraphModule | None:
    """What `suffix` does until it comes to the layer at `path`, or to the first one inside it, where `suffix` calls
    these one by one: it returns what that reads. None where nothing of the layer is found."""
    before = fx.GraphModule(suffix, copy.deepcopy(suffix.graph))
    own: set[fx.Node] = set()
    for node in before.graph.nodes:
        if node.op in ("call_module", "get_attr") and f"{node.target}.".startswith(f"{path}."):
            own.add(node)
        reads = [each for each in node.all_input_nodes if each not in own]
        if reads and (node in own or own.intersection(node.all_input_nodes)):
            before.graph.output_node().args = (reads[0],)
            before.graph.eliminate_dead_code()
            before.recompile()
            return before
    return None


def _last_linear(suffix: fx.GraphModule, graph: fx.Graph) -> fx.Node | None:
    """The call in a graph of `suffix` of the linear layer whose outputs are returned as they are, or flattened where
    they are vectors already."""
    node, flattened = _behind(suffix, graph.output_node().args[0]), False
    while isinstance(node, fx.Node) and _flattens(suffix, node):
        node, flattened = _behind(suffix, node.args[0]), True
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    layer = suffix.get_submodule(str(node.target))
    if type(layer) is not nn.Linear or has_hooks(layer):
        return None
    entering = _behind(suffix, node.args[0])
    return node if not flattened or (isinstance(entering, fx.Node) and _is_vectors(suffix, entering)) else None


def _behind(suffix: fx.GraphModule, node: object) -> object:
    """The node whose value reaches `node` unchanged."""
    while isinstance(node, fx.Node) and node.op == "call_module":
        if not _hands_on(suffix.get_submodule(str(node.target))):
            break
        node = node.args[0]
    return node


def _is_vectors(suffix: fx.GraphModule, node: fx.Node) -> bool:
    """Whether it is [N, D] for certain: flattened, or kept as that."""
    return _flattens(suffix, node) or (node.target is from_storage and bool(node.args[1] == (0, 1)))


def _flattens(suffix: fx.GraphModule, node: fx.Node) -> bool:
    """Whether it makes a vector of each row, of which it then changes nothing."""
    if node.op == "call_module":
        layer = suffix.get_submodule(str(node.target))
        return type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1) and not has_hooks(layer)
    is_flatten = node.target is torch.flatten if node.op == "call_function" else node.target == "flatten"
    rest = {**dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False)), **node.kwargs}
    return is_flatten and rest in ({"start_dim": 1}, {"start_dim": 1, "end_dim": -1})


def _hands_on(layer: nn.Module) -> bool:
    return type(layer) is nn.Identity or (type(layer) is nn.Dropout and (not layer.training or layer.p == 0))
