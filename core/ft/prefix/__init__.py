"""The frozen prefix: which part of a network never changes, where to cut, and the two halves.

Whatever a strategy freezes, part of the network computes the same for an image in every epoch. This package finds that
part and proves what it can, in six steps that know nothing of data, training or the command line:

1. `graph`     traces the module in the modes it will train in; where no tracer can follow it, `boundaries` finds the
               layers at whose return it can be cut, and `sections` makes modules of what lies between;
2. `observe`   runs every node on tensors without data and sees what it reads, writes, draws and costs;
3. `legality`  marks the nodes that are frozen in every respect, and names the barriers;
4. `cut`       describes the cheapest legal cut, which `choose` finds exactly, as a minimum cut;
5. `split`     builds prefix and suffix over the original's own parameters; `fold` makes a faster copy of the prefix;
6. `probe`     compares, at start, bit for bit, on real images: what no analysis can promise.

`find` runs them in sequence.

>>> from ft.prefix.find import find_prefix, split_module
>>> from torchvision.models import resnet18
>>> model = resnet18().train()
>>> frozen = {name for name, _ in model.named_parameters() if not name.startswith("fc.")}
>>> _ = model.bn1.eval()  # and every other frozen module; whatever stays in train mode is a barrier
>>> found = find_prefix(model, frozen, (3, 224, 224))
>>> [str(barrier) for barrier in found.cut.barriers]
['layer1.0.bn1 updates its statistics: cut moved before it']
>>> halves = split_module(found)  # halves.suffix(halves.prefix(images)) is model(images), bit for bit

Nothing is imported here, so that a plan can be shown (`records`) without loading torch.
"""
