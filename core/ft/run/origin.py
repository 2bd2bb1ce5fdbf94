"""Opens the run that another one starts from."""

from __future__ import annotations

from ft.config.origin import OriginConfig
from ft.config.schema import Config
from ft.data.image_list import earlier_splits, known_splits
from ft.data.origin import Origin
from ft.errors import FtError
from ft.machine.files import sha256_of
from ft.run.folder import Run


def open_origin(config: Config, stopped: Run | None) -> Origin | None:
    """The run that `config` names to start from; None where it names none.

    A run that goes on needs no other: what it was given lies in its own folder. Raises FtError where the run is gone or
    not finished, and where its weights are not those that the config began with.
    """
    named = config.from_run
    if named is None:
        return None
    assert named.head is not None, "it is decided as the config is read"
    run = stopped or Run(named.path)
    about = run.model_file()
    if stopped is None and not (run.path / "model.safetensors").is_file():
        raise FtError(f"{run.path} has no model.safetensors yet: it is no finished run, and --from takes one")
    digest = named.sha256 if stopped is not None else sha256_of(run.path / "model.safetensors")
    if named.sha256 and digest != named.sha256:
        raise FtError(
            f"{run.path} changed since this config began with it: its weights were {named.sha256[:12]}, and are "
            f"{digest[:12]}; to start from what they are now, add --from {run.path}"
        )
    splits = known_splits(run.path / "images.csv") if stopped is None else earlier_splits(run.path)
    return Origin(named.path, digest, named.head, about.space, about.preprocessing, splits)


def with_digest(config: Config, origin: Origin | None) -> Config:
    """The config with the digest of the weights that it starts from."""
    if config.from_run is None or origin is None:
        return config
    named: OriginConfig = config.from_run.model_copy(update={"sha256": origin.sha256})
    return config.model_copy(update={"from_run": named})
