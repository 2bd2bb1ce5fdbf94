"""The candidates of heads that trained side by side: which one won, and what became of the others."""

from __future__ import annotations

from collections.abc import Sequence

from ft.extension.tasks import Figure
from ft.machine.display import Display
from ft.machine.layout import Columns, print_table
from ft.run.position import Tried, merit
from ft.text.counting import number_of

SHOWN = 5
"""Candidates of which the terminal shows what became; report.json and the page have all."""


def ranked(tried: Sequence[Tried], figure: Figure) -> list[Tried]:
    """All candidates, the best by a figure first; those whose heads never gave numbers last."""
    did = [each for each in tried if each.val]
    return [*sorted(did, key=lambda each: merit(each.val, figure), reverse=True), *(e for e in tried if not e.val)]


def won(tried: Sequence[Tried], figure: Figure) -> str:
    """Which candidate did best, of how many, and whether better ones may lie beyond."""
    best = ranked(tried, figure)[0]
    rates = [each.candidate.lr for each in tried]
    edge = next((word for word, value in (("largest", max(rates)), ("smallest", min(rates))) if _at(best, value)), "")
    beyond = {"largest": "larger", "smallest": "smaller"}.get(edge, "")
    hint = f"; that is the {edge} rate tried, and {beyond} ones may be better" if edge and len(set(rates)) > 1 else ""
    out = sum(not each.val for each in tried)
    lost = f"; {out} gave no numbers" if out else ""
    heads = number_of(len(tried), "head")
    return f"{best.candidate}, after epoch {best.epoch}, of {heads} trained at once{hint}{lost}"


def print_candidates(tried: Sequence[Tried], figure: Figure, where: str, display: Display) -> None:
    """A row for each of the best candidates; `where` all are."""
    rows = [_row(each, figure) for each in ranked(tried, figure)[:SHOWN]]
    seeds = len({each.candidate.seed for each in tried}) > 1
    headers = ("learning rate", "weight decay", *(("seed",) if seeds else ()), "epoch", figure.title, "loss")
    cells = [row if seeds else (*row[:2], *row[3:]) for row in rows]
    loss = figure.name == "loss"
    display.tell(f"the best of {number_of(len(tried), 'head')} that trained at once, each at its best epoch")
    display.tell("")
    print_table(
        headers[:-1] if loss else headers,
        [row[:-1] for row in cells] if loss else cells,
        Columns(right=headers),
        display.out,
    )
    if len(tried) > len(rows):
        display.tell(f"{len(tried) - len(rows)} more candidates are in {where}.")


def _row(each: Tried, figure: Figure) -> tuple[str, ...]:
    candidate = each.candidate
    figures = (figure.written(each.val[figure.name]), f"{each.val['loss']:.4f}") if each.val else ("-", "-")
    return f"{candidate.lr:g}", f"{candidate.weight_decay:g}", str(candidate.seed), str(each.epoch or "-"), *figures


def _at(best: Tried, value: float) -> bool:
    return best.candidate.lr == value
