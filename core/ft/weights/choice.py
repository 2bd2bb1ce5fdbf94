"""Decides which weights a run starts from and whom to ask for them; gets them from the first place that has them."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ft.config.schema import WeightsConfig
from ft.errors import FtError, did_you_mean, nearest
from ft.extension.granted import WeightCache
from ft.extension.installed import Plugins, implementation, read_settings
from ft.extension.records import WeightEntry
from ft.extension.references import parse_reference
from ft.machine.files import megabytes
from ft.machine.transfer import Progress
from ft.text.redaction import check_whole, shown, what_is_left_out
from ft.weights.cache import Cache, check_file_name, open_cache
from ft.weights.download import ignore
from ft.weights.format import WEIGHT_SUFFIXES, format_of
from ft.weights.hashes import expected_digest

MIRROR_VARIABLE = "FT_WEIGHT_MIRROR"
OWN_WEIGHTS = "own weights"
"""What a file is called that is no published one."""
_CACHE = "cache"
_OWN_KEYS = ("sources", "key", "sha256")
"""What `weights` takes beside the settings of a weight source."""


@dataclass(frozen=True)
class WeightChoice:
    """Which weights, and the references of the weight sources to ask, in this order.

    `cache_first` looks into the cache before any of them. `settings` are those of the only source, when the user named
    it. `sha256` is the digest that the user demands, whatever the entry says; `known` is the published one, as far as
    it is known. `published` is False when the model has no weight entries and `entry` only names a file of the user's.
    """

    model: str
    entry: WeightEntry
    sources: tuple[str, ...]
    cache_first: bool = True
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sha256: str = ""
    known: str = ""
    published: bool = True
    notes: tuple[str, ...] = ()

    def describe(self, cache: Cache | None = None) -> str:
        """Say in a line what the weights are, how big, and where they will come from. Nothing is read or fetched."""
        path = (cache or open_cache()).path(self.entry)
        if self.cache_first and path.is_file():
            return f"{self.entry.name}, cached: {path} ({megabytes(path.stat().st_size)})"
        if not self.cache_first and self.published:
            return f"from {shown(self.sources[0])}: {self.entry.name}, or a file of your own"
        bytes_ = self.entry.size or self.entry.approximate_size
        size = f" ({megabytes(bytes_)})" if bytes_ else ""
        return f"{self.entry.name}{size} from {shown(', else '.join(self.sources))}"


@dataclass(frozen=True)
class FetchedWeights:
    """A weight file on this machine: its whole digest, the source it came from, what a report should say about it."""

    path: Path
    sha256: str
    source: str
    entry: WeightEntry
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """Say in a line what they are, how big, and where they came from."""
        size = megabytes(self.path.stat().st_size)
        if self.source == _CACHE:
            return f"{self.entry.name}, cached: {self.path} ({size})"
        return f"{self.entry.name} ({size}) from {self.source}"


def choose_weights(
    config: WeightsConfig,
    entries: Sequence[WeightEntry],
    model: str,
    plugins: Plugins,
    environ: Mapping[str, str] = os.environ,
) -> WeightChoice | None:
    """Return which entry to load and whom to ask for it; None for random weights. Nothing is looked up or fetched.

    "default" is the first of `entries`. A weight source in `config.use` means the default entry from exactly there.
    Otherwise the cache, `config.sources`, the mirrors in $FT_WEIGHT_MIRROR and the entry's own source are asked in
    turn. Raises FtError for a word that names neither an entry nor a source, with the nearest that do.
    """
    if config.use == "none":
        own = ["sources"] * bool(config.sources) + ["key"] * bool(config.key) + ["sha256"] * bool(config.sha256)
        idle = [*own, *sorted(config.settings)]
        if idle:
            raise FtError(f"weights.{idle[0]} has no effect with weights 'none'; name the weights, or leave it out")
        return None
    named = {entry.name: entry for entry in entries}
    entry = next(iter(entries), None) if config.use == "default" else named.get(config.use)
    sha256 = config.sha256 or ""
    if entry is None and config.use != "default" and _is_source(config.use, plugins):
        _check_settings(config, plugins)
        default = (
            entries[0]
            if entries
            else WeightEntry(OWN_WEIGHTS, re.sub(r"[^\w.-]+", "-", model.rpartition(":")[2]) + ".pth")
        )
        unused = ("weights.sources are not asked, since weights.use names the source",) if config.sources else ()
        return WeightChoice(
            model,
            _demand(default, sha256),
            (config.use,),
            cache_first=False,
            settings=config.settings,
            sha256=sha256,
            known=expected_digest(default),
            published=bool(entries),
            notes=(*unused, *what_is_left_out(config.use)),
        )
    if entry is None:
        raise FtError(_unknown(config.use, list(named), model, plugins))
    for name in config.settings:
        hint = did_you_mean(name, _OWN_KEYS)
        raise FtError(f"unknown setting 'weights.{name}'.{hint} Beside an entry it takes: {', '.join(_OWN_KEYS)}")
    for source in config.sources:
        plugins.get("weights", parse_reference(source))
    mirrors = [f"mirror:{base}" for base in re.split(r"[\s,]+", environ.get(MIRROR_VARIABLE, "")) if base]
    chain = dict.fromkeys([*config.sources, *mirrors, entry.source])
    notes = [note for source in config.sources for note in what_is_left_out(source)]
    known = expected_digest(entry)
    return WeightChoice(model, _demand(entry, sha256), tuple(chain), sha256=sha256, known=known, notes=tuple(notes))


def unverified(choice: WeightChoice | None, cache: Cache | None = None) -> Path | None:
    """Where in the cache the weights are, or will be, if no digest tells what they have to be."""
    if choice is None or not choice.cache_first or expected_digest(choice.entry):
        return None
    return (cache or open_cache()).path(choice.entry)


def fetch_weights(
    choice: WeightChoice, plugins: Plugins, progress: Progress | None = None, cache: Cache | None = None
) -> FetchedWeights:
    """Ask the choice's places in turn and return the first file that one has and that is what was asked for.

    Raises one FtError when none has it, which names each place with what went wrong there, and the ways out.
    """
    cache = cache or open_cache(progress or ignore)
    failures: list[str] = []
    for place, ask in _places(choice, plugins, cache):
        try:
            path = ask()
            if path is None:
                continue
            digest = cache.digest(path)
            if not digest.startswith(choice.sha256):
                raise FtError(f"sha256 of {path} is {digest}, but weights.sha256 is {choice.sha256}")
        except FtError as error:
            failures.append(shown(f"{place}: {error}"))
        else:
            notes = [*choice.notes, *_told(failures, cache.notes), *_difference(choice, digest)]
            entry = _what_came(choice, path, digest, place)
            return FetchedWeights(path, digest, shown(place), entry, tuple(notes))
    told = _told(failures, cache.notes)
    if absent(choice, plugins):  # what is no fault of a network, no other place mends
        raise FtError("\n".join([f"could not get the weights of {choice.model}:", *(f"  {each}" for each in told)]))
    raise FtError(_nowhere(choice, told, cache))


def absent(choice: WeightChoice | None, plugins: Plugins) -> str:
    """The source that the user named, where it says that this machine lacks what it would give; "" for none."""
    if choice is None or choice.cache_first:
        return ""
    reference = parse_reference(choice.sources[0])
    source = plugins.get("weights", reference)
    if source.record.is_here is None or implementation(source, "is_here")(choice.entry, reference.argument):
        return ""
    return shown(choice.sources[0])


def ask_source(source: str, choice: WeightChoice, plugins: Plugins, cache: WeightCache) -> Path:
    """Return what one weight source gives. Raises FtError."""
    check_whole(source)
    reference = parse_reference(source)
    component = plugins.get("weights", reference)
    settings = read_settings(component, choice.settings, "weights")
    path = implementation(component, "fetch")(choice.entry, reference.argument, settings, cache)
    if not isinstance(path, Path):
        raise TypeError(f"weight source '{component.name}' of {component.distribution} returned {path!r}, not a Path")
    format_of(path)
    return path


def _places(choice: WeightChoice, plugins: Plugins, cache: Cache) -> Iterator[tuple[str, Callable[[], Path | None]]]:
    if choice.cache_first:
        yield _CACHE, partial(cache.find, choice.entry)
    for source in choice.sources:
        yield source, partial(ask_source, source, choice, plugins, cache)


def _check_settings(config: WeightsConfig, plugins: Plugins) -> None:
    """Raise FtError for what neither the weight source that is named nor ft takes."""
    component = plugins.get("weights", parse_reference(config.use))
    try:
        read_settings(component, config.settings, "weights")
    except FtError as error:
        slips = [hint for name in config.settings if (hint := did_you_mean(name, _OWN_KEYS))]
        raise FtError(f"{error}\nweights itself takes: {', '.join(_OWN_KEYS)}.{''.join(slips)}") from None


def _is_source(use: str, plugins: Plugins) -> bool:
    """Whether `use` names a weight source. Raises FtError when its name is there twice or its file is not."""
    try:
        reference = parse_reference(use)
    except FtError:
        return False
    if reference.place == "plugin" and not plugins.has("weights", reference.name):
        return False
    plugins.get("weights", reference)
    return True


def _demand(entry: WeightEntry, sha256: str) -> WeightEntry:
    """The entry with the digest that the user demands, unless the published one says the same and more.

    Raises FtError when its file name could lead a source out of its folder.
    """
    check_file_name(entry.file_name)
    return entry if entry.sha256.lower().startswith(sha256) else dataclasses.replace(entry, sha256=sha256)


def _told(failures: list[str], notes: list[str]) -> list[str]:
    """Failures and notes, each thing once."""
    return [*failures, *(n for n in dict.fromkeys(notes) if not any(n in failure for failure in failures))]


def _what_came(choice: WeightChoice, path: Path, digest: str, place: str) -> WeightEntry:
    """The entry when the file is its published one, as far as that can be told; else one for a file of the user's."""
    entry, known = choice.entry, choice.known
    if digest.startswith(known) if known else path.name == entry.file_name or place == entry.source:
        return entry
    return dataclasses.replace(entry, name=OWN_WEIGHTS, file_name=path.name, url="", note="")


def _difference(choice: WeightChoice, digest: str) -> Iterator[str]:
    if not digest.startswith(choice.known):
        name = choice.entry.name
        yield f"the file is not the published one of {name}: sha256 is {digest[:16]}, not {choice.known[:16]}"


def _unknown(use: str, names: list[str], model: str, plugins: Plugins) -> str:
    if use == "default":
        return f"{model} publishes no weights; use --weights none, or local:PATH for a file of your own"
    sources = [component.name for component in plugins.components("weights")]
    by_lower = {name.lower(): name for name in (*sources, *names)}
    near = [by_lower[name] for name in nearest(use.partition(":")[0].lower(), by_lower, most=3)]
    text = f"{model} has no weights named '{use}', and no weight source has that name."
    if use.endswith(WEIGHT_SUFFIXES) or os.path.exists(use):
        text += f" For a file write local:{use}."
    elif near:
        text += f" Did you mean {' or '.join(near)}?"
    return f"{text} Weights: {', '.join(names) or 'none published'}. Sources: {', '.join(sources) or 'none'}"


def _nowhere(choice: WeightChoice, failures: list[str], cache: Cache) -> str:
    entry, cached = choice.entry, cache.path(choice.entry)
    absent = [f"  cache: there is no {cached}"] if choice.cache_first and not cached.exists() else []
    return "\n".join(
        [
            f"could not get the weights {entry.name} of {choice.model} ({entry.file_name}):",
            *absent,
            *(f"  {failure}" for failure in failures),
            "What you can do:",
            f"  --weights mirror:BASE_URL, or {MIRROR_VARIABLE}=BASE_URL, for a server that has it",
            "  --weights local:PATH, for a file or folder of yours",
            f"  put the file there: {cached}",
            "  --weights none, to start from random weights",
        ]
    )
