"""Optimizers, one file each."""

from collections.abc import Iterator

from ft import Optimizer, hookimpl


@hookimpl
def ft_optimizers() -> Iterator[Optimizer]:
    yield Optimizer(
        "adamw",
        "AdamW: Adam with weight decay of its own",
        build="ft_optim.adamw:build",
        settings="ft_optim.adamw:AdamWSettings",
        state="ft_optim.adamw:state",
    )
    yield Optimizer(
        "sgd",
        "SGD with Nesterov momentum",
        build="ft_optim.sgd:build",
        settings="ft_optim.sgd:SGDSettings",
        lr=1e-3,
        head_lr=1e-2,
        weight_decay=1e-4,  # He et al. 2016, section 3.4
        state="ft_optim.sgd:state",
    )
    yield Optimizer(
        "nadam",
        "NAdam: Adam with Nesterov momentum",
        build="ft_optim.nadam:build",
        settings="ft_optim.nadam:NAdamSettings",
        state="ft_optim.nadam:state",
    )
    yield Optimizer(
        "radam",
        "RAdam: Adam that begins without adapting, until it knows enough",
        build="ft_optim.radam:build",
        settings="ft_optim.radam:RAdamSettings",
        state="ft_optim.radam:state",
    )
    yield Optimizer(
        "adafactor",
        "Adafactor: steps in proportion to the weights, with little memory",
        build="ft_optim.adafactor:build",
        settings="ft_optim.adafactor:AdafactorSettings",
        lr=1e-3,  # of a weight's size, so ten times what the weights of a network would move by with AdamW's
        head_lr=1e-2,
        weight_decay=0.0,
    )
    yield Optimizer(
        "muon",
        "Muon for matrices, AdamW for all else",
        build="ft_optim.muon:build",
        settings="ft_optim.muon:MuonSettings",
    )
    yield Optimizer(
        "lbfgs",
        "L-BFGS: solves for a linear head on features computed once",
        build="ft_optim.lbfgs:build",
        settings="ft_optim.lbfgs:LBFGSSettings",
        solves=True,
    )
    yield Optimizer(
        "sweep",
        "many rates, decays and first values for a linear head, all at once on features computed once",
        build="ft_optim.sweep:build",
        settings="ft_optim.sweep:SweepSettings",
        state="ft_optim.sweep:state",
        candidates="ft_optim.sweep:candidates",
    )
