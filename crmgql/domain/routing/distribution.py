"""Which of the eligible sellers gets a lead. Pure and deterministic.

Turns are counted in units of 10^-12; a turn costs a seller 1 / weight. ROUND_ROBIN and WEIGHTED choose, among those
who have had no more than their due, the one whose next turn ends first (earliest eligible virtual deadline first,
Stoica and Abdel-Wahab 1995): nobody is ever a whole lead away from their exact share. Choosing merely the
least served would give a seller of weight 1000 among twenty of weight 1 only the twenty-first lead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from crmgql.domain.routing.candidates import Load

TURN = 10**12
NOISE = 10**6
"""More than the rounding errors of 1 / weight add up to in millions of turns."""

AWAY = timedelta(minutes=15)
"""A seller who was not available for this long, while others were, has been away."""

SEEN_EVERY = timedelta(minutes=5)


@dataclass(slots=True, eq=False)
class Runner:
    """A seller in a rule's turns. `turns` in units of 1 / `TURN`; `seen_at`: when last available for the rule."""

    id: UUID
    weight: int = 1
    max_open: int | None = None
    turns: int = 0
    seen_at: datetime | None = None
    load: Load = field(default_factory=Load)
    changed: bool = False


def level(available: Iterable[Runner], now: datetime) -> None:
    """Gives new and returning sellers the turns of the least served present one, and records who is available."""
    here = list(available)
    newest = max((runner.seen_at for runner in here if runner.seen_at is not None), default=None)
    least = min((runner.turns for runner in here if _was_here(runner, newest)), default=0)
    for runner in here:
        if not _was_here(runner, newest):
            runner.turns = max(runner.turns, least)
        if runner.seen_at is None or runner.seen_at <= now - SEEN_EVERY:
            runner.seen_at, runner.changed = now, True


def _was_here(runner: Runner, newest: datetime | None) -> bool:
    return newest is not None and runner.seen_at is not None and runner.seen_at >= newest - AWAY


def pick(kind: str, runners: Sequence[Runner]) -> Runner:
    """The seller whose turn is next, of at least one."""
    if len(runners) == 1:
        return runners[0]
    if kind == "FIXED":
        return min(runners, key=lambda runner: runner.id)
    if kind == "LEAST_LOADED":
        return min(runners, key=_load)
    return _due(runners, weighted=kind == "WEIGHTED")


def serve(kind: str, runner: Runner) -> None:
    """Counts the lead that a seller got."""
    runner.turns += cost(runner.weight if kind == "WEIGHTED" else 1)
    runner.changed = True
    runner.load.open += 1
    runner.load.today += 1


def cost(weight: int) -> int:
    """The cost of a turn, rounded half up."""
    return (2 * TURN + weight) // (2 * weight)


def _load(runner: Runner) -> tuple[int, int, UUID]:
    """A seller's open leads relative to their limit, or else to their weight; then the turns."""
    return runner.load.open * TURN // (runner.max_open or runner.weight), runner.turns, runner.id


def _due(runners: Sequence[Runner], *, weighted: bool) -> Runner:
    total = sum([runner.weight for runner in runners]) if weighted else len(runners)
    had = sum(
        [runner.turns * runner.weight for runner in runners] if weighted else [runner.turns for runner in runners]
    )
    due = had // total + NOISE
    best, best_end = runners[0], -1
    for runner in runners:
        if runner.turns > due:
            continue
        end = runner.turns + (cost(runner.weight) if weighted else TURN)
        if best_end < 0 or end < best_end - NOISE or (end <= best_end + NOISE and runner.id < best.id):
            best, best_end = runner, end
    return best
