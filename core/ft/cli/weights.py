"""`ft weights`: what is in the cache, and getting weights before they are needed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ft.cli.common import HelpingGroup, load_and_report
from ft.cli.printing import note, tell, tell_json
from ft.errors import FtError
from ft.text.counting import number_of

if TYPE_CHECKING:
    from ft.extension.installed import Plugins
    from ft.weights.choice import FetchedWeights, WeightChoice

_json = click.option("--json", "as_json", is_flag=True, help="print JSON")
_from = click.option(
    "--from", "sources", multiple=True, metavar="SOURCE", help="ask this weight source first; repeatable"
)
_refs = click.argument("refs", nargs=-1, required=True, metavar="PROVIDER:MODEL[@WEIGHTS]...")


@click.group(cls=HelpingGroup)
def weights() -> None:
    """Look after weight files: get them ahead of time, check them, carry them to another machine.

    \b
      ft weights fetch torchvision:resnet50 torchvision:vgg16@IMAGENET1K_V1
      ft weights bundle weights.zip torchvision:resnet50     then, where there is no network:
      ft run --backbone torchvision:resnet50 --weights local:weights.zip ...
    """


@weights.command("list")
@click.argument("pattern", default="*")
@_json
def list_(pattern: str, as_json: bool) -> None:
    """List the weight files in the cache, or those that match PATTERN."""
    from fnmatch import fnmatch

    from ft.machine.files import megabytes
    from ft.weights.cache import open_cache
    from ft.weights.inventory import stored_weights

    cache = open_cache()
    glob = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    found = [each for each in stored_weights(cache) if fnmatch(each.path.name, glob)]
    rows = [
        (s.path.name, megabytes(s.size), s.sha256[:16] or "-", s.entry or "-", s.origin or "not by ft") for s in found
    ]
    _show(("file", "size", "sha256", "weights", "from"), rows, map(asdict, found), as_json)
    if not as_json:
        tell(f"{number_of(len(found), 'file')}, {megabytes(sum(s.size for s in found))} in {cache.folder}")


@weights.command()
@_refs
@_from
def fetch(refs: tuple[str, ...], sources: tuple[str, ...]) -> None:
    """Fetch weights ahead of time, as for jobs without a network."""
    for _, fetched in _fetched(refs, sources):
        tell(str(fetched.path))


@weights.command()
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@_refs
@_from
def bundle(out: Path, refs: tuple[str, ...], sources: tuple[str, ...]) -> None:
    """Put weights into one archive, to be carried.

    OUT is a .zip file; `--weights local:OUT` reads it on another machine.
    """
    from ft.machine.files import megabytes
    from ft.weights.bundle import Bundled, write_bundle

    if out.suffix != ".zip":
        raise FtError(f"a bundle is a .zip file; write {out.with_suffix('.zip') if out.name else 'weights.zip'}")
    files: dict[str, tuple[Bundled, Path]] = {}
    for choice, fetched in _fetched(refs, sources):
        name, size = fetched.entry.file_name, fetched.path.stat().st_size
        files[name] = Bundled(name, size, fetched.sha256, choice.model, choice.entry.name), fetched.path
    write_bundle(out, dict(files.values()))
    tell(f"{out}: {number_of(len(files), 'file')}, {megabytes(out.stat().st_size)}")


@weights.command()
@_json
def verify(as_json: bool) -> None:
    """Read every weight file in the cache and compare it.

    Exits with 1 if one is not what it was when ft first saw it.
    """
    from ft.weights.cache import open_cache
    from ft.weights.inventory import examine, stored_weights

    cache = open_cache()
    states = [examine(cache, stored) for stored in stored_weights(cache)]
    rows = [(s.stored.path.name, s.state, s.detail) for s in states]
    _show(
        ("file", "state", "why"),
        rows,
        ({**asdict(s.stored), "state": s.state, "detail": s.detail} for s in states),
        as_json,
    )
    if damaged := sum(s.state == "damaged" for s in states):
        which = f"{damaged} of {number_of(len(states), 'file')} {'is' if damaged == 1 else 'are'} damaged"
        note(f"{which}; ft weights prune removes those that ft fetched")
        sys.exit(1)


@weights.command()
@click.option(
    "--unused", type=click.FloatRange(min=0), metavar="DAYS", help="also what ft fetched and nobody used for so long"
)
@click.option("--dry-run", is_flag=True, help="say what would be removed, and remove nothing")
def prune(unused: float | None, dry_run: bool) -> None:
    """Remove what is damaged or left behind.

    Files that ft did not fetch stay.
    """
    from ft.machine.files import megabytes
    from ft.weights.cache import open_cache
    from ft.weights.inventory import removable

    found = removable(open_cache(), unused)
    for each in found:
        tell(f"{'would remove' if dry_run else 'removed'} {each.path} ({megabytes(each.size)}): {each.why}")
        if not dry_run:
            try:
                each.path.unlink(missing_ok=True)
            except OSError as error:
                raise FtError(f"cannot remove {each.path}: {error.strerror}") from error
    tell(f"{number_of(len(found), 'file')}, {megabytes(sum(each.size for each in found))}")


@weights.command()
@click.argument("ref", required=False, metavar="[PROVIDER:MODEL[@WEIGHTS]]")
@_from
@_json
def doctor(ref: str | None, sources: tuple[str, ...], as_json: bool) -> None:
    """Say why weights cannot be fetched, and what to try.

    Every place that they could come from is tried, and nothing fetched. Exits with 1 if something is wrong.
    """
    from ft.weights.cache import open_cache
    from ft.weights.doctor import diagnose, diagnose_machine, problems

    cache, findings = open_cache(), diagnose_machine(open_cache())
    if ref:
        plugins = load_and_report()
        findings += diagnose(_choice(ref, sources, plugins), plugins, cache)
    _show(
        ("tried", "state", "what was seen"),
        [(f.tried, f.state, f.text) for f in findings],
        [{**asdict(f), "advice": f.advice} for f in findings],
        as_json,
    )
    wrong = list(problems(findings))
    if wrong and not as_json:
        tell("What you can do:")
        for advice in dict.fromkeys(f.advice for f in wrong):
            places = dict.fromkeys(f.tried.partition(": ")[0] for f in wrong if f.advice == advice)
            tell(f"  {', '.join(places)}: {advice}")
    if wrong:
        sys.exit(1)


def _choice(ref: str, sources: tuple[str, ...], plugins: Plugins) -> WeightChoice:
    from ft.config.schema import WeightsConfig
    from ft.model.catalogue import find_model, weight_entries
    from ft.weights.choice import choose_weights

    match = re.fullmatch(r"(.+)@([\w.-]+)", ref)
    model, use = (match[1], match[2]) if match else (ref, "default")
    component, name = find_model(model, plugins)
    entries = weight_entries(component, name)
    if use not in ("default", *(entry.name for entry in entries)):
        raise FtError(f"{model} has no weights named '{use}'. It has: {', '.join(e.name for e in entries) or 'none'}")
    choice = choose_weights(WeightsConfig(use=use, sources=sources), entries, f"{component.name}:{name}", plugins)
    assert choice is not None
    return choice


def _fetched(refs: tuple[str, ...], sources: tuple[str, ...]) -> list[tuple[WeightChoice, FetchedWeights]]:
    from ft.machine.display import Display
    from ft.weights.choice import fetch_weights

    plugins, display = load_and_report(), Display()
    choices = [_choice(ref, sources, plugins) for ref in refs]
    with display.download() as progress:
        done = [(choice, fetch_weights(choice, plugins, progress)) for choice in choices]
    for _, fetched in done:
        for text in fetched.notes:
            display.say(text)
    return done


def _show(headers: tuple[str, ...], rows: Sequence[Sequence[str]], plain: Iterable[Any], as_json: bool) -> None:
    if as_json:
        tell_json(list(plain))
    elif rows:
        from ft.machine.layout import print_table

        print_table(headers, rows)
