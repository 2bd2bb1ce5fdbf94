"""Whether all that is left to train is one linear layer, which full-batch methods solve at once and of which many train
side by side; and what comes before it."""

from __future__ import annotations

import copy

from torch import fx, nn

from ft.prefix.graph import has_hooks


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


def _last_linear(suffix: fx.GraphModule, graph: fx.Graph) -> fx.Node | None:
    """The call in a graph of `suffix` of the linear layer whose outputs are returned as they are."""
    node = graph.output_node().args[0]
    while isinstance(node, fx.Node) and node.op == "call_module":
        layer = suffix.get_submodule(str(node.target))
        if type(layer) is nn.Linear and not has_hooks(layer):
            return node
        if not _hands_on(layer):
            return None
        node = node.args[0]
    return None


def _hands_on(layer: nn.Module) -> bool:
    return type(layer) is nn.Identity or (type(layer) is nn.Dropout and (not layer.training or layer.p == 0))
