"""Where a lead goes, and why. Pure. Enters: facts. Leaves: a decision, which is counted for the next one.

The owner of an existing account comes first, if the rule set says so; then the first rule whose conditions are met decides,
even if it finds nobody: then the lead goes to the fallback queue with the reason. Nothing here fails because of a rule: one
that can't be read or evaluated gives the reason ERROR with an explanation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from crmgql.domain.routing import candidates, conditions, distribution, matching
from crmgql.domain.routing.candidates import NOBODY, Candidates, Load, Seller, Targeted
from crmgql.domain.routing.distribution import Runner
from crmgql.errors import BadUserInput

LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Queue:
    id: UUID
    name: str
    deadline_min: int
    owner_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule after reading. `mistake`: what can't be read in it."""

    id: UUID
    name: str
    condition: conditions.Condition = conditions.ALWAYS
    match: matching.Match = ()
    target: str = "MATCHING"
    user_id: UUID | None = None
    team_id: UUID | None = None
    queue_id: UUID | None = None
    distribution: str = "ROUND_ROBIN"
    max_age_h: int | None = None
    respect_capacity: bool = True
    mistake: str | None = None


@dataclass(frozen=True, slots=True)
class Ruleset:
    id: UUID
    rules: tuple[Rule, ...] = ()
    exchange: conditions.Exchange = field(default_factory=conditions.Exchange)
    account_owner_first: bool = True
    accept_within_min: int | None = None
    max_reroutes: int = 3
    fallback: Queue | None = None
    mistake: str | None = None


@dataclass(slots=True)
class Lead:
    """A lead with its history. `values` by condition field, case-folded; `account`: (owner, how it was found)."""

    id: UUID
    name: str
    received_at: datetime
    values: Mapping[str, Any] = field(default_factory=dict)
    account: tuple[UUID, str] | None = None
    declined: frozenset[UUID] = frozenset()
    reroutes: int = 0
    attempt: int = 1
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a lead goes: to `chosen`, into `queue`, or, with neither, nowhere for now."""

    reason: str
    explanation: str
    rule: Rule | None = None
    chosen: Seller | None = None
    queue: Queue | None = None
    considered: Candidates = NOBODY
    accept_by: datetime | None = None
    queue_deadline: datetime | None = None
    previous: UUID | None = None


class Board:
    """The facts of a series of decisions at one moment, with the turns and loads that the decisions change."""

    def __init__(
        self,
        ruleset: Ruleset,
        sellers: Sequence[Seller],
        queues: Sequence[Queue],
        loads: Mapping[UUID, Load],
        shares: Mapping[tuple[UUID, UUID], tuple[int, datetime | None]],
        now: datetime,
    ) -> None:
        self.ruleset = ruleset
        self.sellers = {seller.id: seller for seller in sellers}
        self.queues = {queue.id: queue for queue in queues}
        self.loads = {seller.id: loads.get(seller.id) or Load() for seller in sellers}
        self.now = now
        self._shares = shares
        self._targeted: dict[UUID, Targeted] = {}
        self._stale: set[UUID] = set()
        self._full: set[UUID] = set()
        self.runners: dict[tuple[UUID, UUID], Runner] = {}

    def targeted(self, rule: Rule) -> Targeted:
        """The rule's sellers, with the limits reached so far."""
        found = self._targeted.get(rule.id)
        if found is None:
            found = Targeted(self._targets(rule), rule.match, self.now, respect_capacity=rule.respect_capacity)
            self._targeted[rule.id] = found
            self._stale.add(rule.id)
        if rule.id in self._stale:
            found.count_limits(self.loads)
            distribution.level([self.runner(rule, seller) for seller in found.available], self.now)
            self._stale.discard(rule.id)
        return found

    def _targets(self, rule: Rule) -> list[Seller]:
        everybody = self.sellers.values()
        if rule.target == "USER":
            return [seller for seller in everybody if seller.id == rule.user_id]
        if rule.target == "TEAM":
            return [seller for seller in everybody if seller.sells and rule.team_id in seller.teams]
        return [seller for seller in everybody if seller.sells]

    def runner(self, rule: Rule, seller: Seller) -> Runner:
        key = rule.id, seller.id
        found = self.runners.get(key)
        if found is None:
            turns, seen_at = self._shares.get(key, (0, None))
            load = self.loads[seller.id]
            found = self.runners[key] = Runner(seller.id, seller.weight, seller.max_open, turns, seen_at, load)
        return found

    def at(self, moment: datetime) -> None:
        """Continues at another time; turns and loads stay."""
        self.now = moment
        self._targeted.clear()
        self._stale.clear()
        self._full.clear()

    def took(self, seller: Seller) -> None:
        """Counts that a seller got a lead: one who has now reached a limit is a candidate no longer."""
        if seller.id not in self._full and candidates.room(seller, self.loads[seller.id], respect_capacity=True):
            self._full.add(seller.id)
            self._stale.update(self._targeted)


def decide(lead: Lead, board: Board) -> Decision:
    """The decision, counted in the board. Never raises because of what is written in a rule."""
    if board.ruleset.mistake is not None:
        return _fallback(lead, board, "ERROR", board.ruleset.mistake)
    if lead.reroutes > board.ruleset.max_reroutes:
        return _fallback(lead, board, "NOT_ACCEPTED", f"{lead.reroutes} sellers did not accept it.")
    note = ""
    if board.ruleset.account_owner_first and lead.account is not None:
        found = _account_owner(lead, board)
        if isinstance(found, Decision):
            return found
        note = f" {found}"
    return _by_rules(lead, board, note)


def _by_rules(lead: Lead, board: Board, note: str) -> Decision:
    for rule in board.ruleset.rules:
        if rule.mistake is not None:
            return _fallback(lead, board, "ERROR", f"Rule “{rule.name}”: {rule.mistake}", rule)
        try:
            met, because = conditions.evaluate(rule.condition, lead.values, board.ruleset.exchange)
        except ArithmeticError:
            return _fallback(lead, board, "ERROR", f"Rule “{rule.name}”: its numbers can't be compared.", rule)
        if met and not (rule.target == "ACCOUNT_OWNER" and lead.account is None):
            return _apply(lead, board, rule, f"Rule “{rule.name}”: {because}.{note}")
    return _fallback(lead, board, "NO_RULE", f"No rule matches.{note}")


def _account_owner(lead: Lead, board: Board, rule: Rule | None = None) -> Decision | str:
    """The decision for the owner of the lead's account, or why it is not possible."""
    assert lead.account is not None
    owner_id, how = lead.account
    owner = board.sellers.get(owner_id)
    if owner is None or not owner.active or candidates.is_absent(owner, board.now) or owner.id in lead.declined:
        # Neither the owner's name nor the reason: whoever gets the lead reads this.
        return f"The owner of the account found by {how} can't take it."
    load = board.loads[owner.id]
    load.open, load.today = load.open + 1, load.today + 1
    board.took(owner)
    text = f"{owner.name} owns the account found by {how}."
    return _assigned(lead, board, "EXISTING_ACCOUNT_OWNER", text, rule, owner, candidates.of([(owner, None)]))


def _apply(lead: Lead, board: Board, rule: Rule, text: str) -> Decision:
    if rule.max_age_h is not None and board.now - lead.received_at > timedelta(hours=rule.max_age_h):
        return _fallback(lead, board, "TOO_OLD", f"{text} It takes leads of up to {rule.max_age_h} hours.", rule)
    if rule.target == "QUEUE":
        assert rule.queue_id is not None
        return _queued(lead, board, "MATCHED", text, rule, board.queues[rule.queue_id])
    if rule.target == "ACCOUNT_OWNER":
        found = _account_owner(lead, board, rule)
        return (
            found if isinstance(found, Decision) else _fallback(lead, board, "NO_AVAILABILITY", f"{text} {found}", rule)
        )
    considered = board.targeted(rule).candidates(lead.values, lead.declined)
    if not considered.eligible:
        return _fallback(
            lead,
            board,
            considered.cause(),
            f"{text} None of its {len(considered.excluded)} sellers can take it.",
            rule,
            considered,
        )
    runner = distribution.pick(rule.distribution, [board.runner(rule, seller) for seller in considered.eligible])
    distribution.serve(rule.distribution, runner)
    chosen = board.sellers[runner.id]
    board.took(chosen)
    text = f"{text} {chosen.name} is next of {len(considered.eligible)} ({rule.distribution})."
    return _assigned(lead, board, "MATCHED", text, rule, chosen, considered)


def _assigned(
    lead: Lead, board: Board, reason: str, text: str, rule: Rule | None, chosen: Seller, considered: Candidates
) -> Decision:
    within = board.ruleset.accept_within_min
    accept_by = None if within is None else board.now + timedelta(minutes=within)
    return Decision(reason, text[:LONGEST], rule, chosen, considered=considered, accept_by=accept_by)


def _queued(
    lead: Lead, board: Board, reason: str, text: str, rule: Rule | None, queue: Queue, considered: Candidates = NOBODY
) -> Decision:
    deadline = board.now + timedelta(minutes=queue.deadline_min)
    text = f"{text} It waits in the queue “{queue.name}”."
    return Decision(reason, text[-LONGEST:], rule, queue=queue, considered=considered, queue_deadline=deadline)


def _fallback(
    lead: Lead, board: Board, reason: str, text: str, rule: Rule | None = None, considered: Candidates = NOBODY
) -> Decision:
    """The decision without a seller: the fallback queue, or none."""
    if board.ruleset.fallback is not None:
        return _queued(lead, board, reason, text, rule, board.ruleset.fallback, considered)
    return Decision(reason, f"{text} There is no fallback queue."[-LONGEST:], rule, considered=considered)


def read_rule(row: Mapping[str, Any]) -> Rule:
    """A stored rule. What can't be read becomes its `mistake`, for the decision's explanation."""
    mistake: str | None = None
    condition: conditions.Condition = conditions.ALWAYS
    match: matching.Match = ()
    try:
        condition = conditions.parse(row["conditions"])
        match = matching.parse(row["seller_match"])
    except BadUserInput as error:
        mistake = f"{error.field}: {error.message}"
    return Rule(
        row["id"],
        row["name"],
        condition,
        match,
        row["target"],
        row["target_user_id"],
        row["target_team_id"],
        row["target_queue_id"],
        row["distribution"],
        row["max_lead_age_h"],
        row["respect_capacity"],
        mistake,
    )


def read_ruleset(row: Mapping[str, Any], rules: Sequence[Rule], fallback: Queue | None) -> Ruleset:
    """A stored rule set with its rules in order."""
    mistake, rates = None, {}
    try:
        rates = conditions.parse_rates(row["rates"])
    except BadUserInput as error:
        mistake = f"The rule set's {error.field}: {error.message}"
    return Ruleset(
        row["id"],
        tuple(rules),
        conditions.Exchange(row["currency"], rates),
        row["account_owner_first"],
        row["accept_within_min"],
        row["max_reroutes"],
        fallback,
        mistake,
    )


def values_of(row: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A stored lead's values by condition field, without missing and empty ones."""
    values: dict[str, Any] = {}
    for name, column in COLUMNS.items():
        value = row[column]
        if value is not None and value != "":
            values[name] = value.casefold() if isinstance(value, str) else conditions.fold(value)
    if row["campaign_id"] is not None:
        values["campaign"] = row["campaign_id"].hex
    if row["budget_amount"] is not None:
        values[conditions.BUDGET] = row["budget_amount"], row["currency"]
    for name, value in attributes.items():
        if value is not None and value != "":
            values[conditions.ATTRIBUTES + name] = conditions.fold(value)
    return values


COLUMNS = {
    "region": "region",
    "country": "country",
    "city": "city",
    "industry": "industry",
    "segment": "segment",
    "leadSource": "lead_source",
    "company": "company",
    "title": "title",
    "employeeCount": "employee_count",
    "score": "score",
}
