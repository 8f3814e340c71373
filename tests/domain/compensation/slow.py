"""Commissions as a patient clerk would work them out from the words of the plan: for each credit everything is summed anew from the
first one on, days are walked one by one, money is exact until it is rounded. Shares nothing with what it checks but the plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

from crmgql.domain.compensation.credited import Credit
from crmgql.domain.compensation.terms import Rule, Tier, Version

DECIMALS = {"JPY": 0, "KWD": 3}
Amounts = dict[tuple[UUID, UUID, UUID, str], Fraction]
Quotas = Callable[[date, date, str], Fraction | None]


def rounded(value: Fraction, cent: Fraction) -> Fraction:
    assert value >= 0
    return (value / cent + Fraction(1, 2)).__floor__() * cent


def between(whole: Fraction, low: Fraction, high: Fraction, cent: Fraction) -> Fraction:
    """What of a whole is between two shares: up to less than all of it whole cents that are full, up to all of it, rounded."""

    def up_to(share: Fraction) -> Fraction:
        return rounded(whole * share, cent) if share >= 1 else (whole * share / cent).__floor__() * cent

    return up_to(high) - up_to(low)


def based(basis: str, fact: Any) -> Fraction:
    net, shipping, cost = Fraction(fact.net), Fraction(fact.shipping), Fraction(fact.cost)
    return {"NET": net, "GROSS": net + shipping, "MARGIN": net - cost}[basis]


def facts(credit: Credit) -> list[tuple[int, Any]]:
    """Each with its sign: shares that go backwards take back."""
    return [(-1 if credit.share_from > credit.share_to else 1, fact) for fact in credit.facts]


def share(credit: Credit) -> tuple[Fraction, Fraction]:
    edges = Fraction(credit.share_from), Fraction(credit.share_to)
    return min(edges), max(edges)


def matches(rule: Rule, fact: Any) -> bool:
    wanted = {"ANY": (True, False), "NEW": (True,), "REPEAT": (False,)}[rule.customers]
    pairs = (rule.product_ids, fact.product_id), (rule.categories, fact.category), (rule.segments, fact.segment)
    return fact.is_new in wanted and all(allowed is None or value in allowed for allowed, value in pairs)


def paying(version: Version, role: str, fact: Any, deal: Fraction | None) -> set[UUID]:
    """The rules that pay for a line; without a deal, those that might, depending on it."""
    found: set[UUID] = set()
    for group in {rule.group for rule in version.rules}:
        for rule in sorted(version.rules, key=lambda each: each.position):
            if rule.group == group and rule.role == role and matches(rule, fact):
                least = rule.least_deal_amount
                if deal is None or least is None or deal >= least:
                    found.add(rule.id)
                    if deal is not None or least is None:
                        break
    return found


def credited(version: Version, rule: Rule, credits: Sequence[Credit]) -> Fraction:
    """What of an order is credited to the person, of lines that the rule might pay for."""
    return sum(
        (
            sign * based(version.basis, fact) * (share(each)[1] - share(each)[0])
            for each in credits
            for sign, fact in facts(each)
            if fact.measure == version.measure and rule.id in paying(version, each.role, fact, None)
        ),
        Fraction(0),
    )


def area(tiers: Sequence[Tier], unit: Fraction, up_to: Fraction) -> Fraction:
    """What attainment from 0 up to a value pays at each tier's rate; down to it, below 0."""
    if up_to < 0:
        return up_to * Fraction(tiers[0].rate)
    paid = Fraction(0)
    for tier in tiers:
        low = Fraction(tier.from_value) * unit
        high = up_to if tier.to_value is None else min(up_to, Fraction(tier.to_value) * unit)
        paid += max(high - low, Fraction(0)) * Fraction(tier.rate)
    return paid


def height(tiers: Sequence[Tier], unit: Fraction, at: Fraction) -> Fraction:
    reached = [tier for tier in tiers if Fraction(tier.from_value) * unit <= at]
    return Fraction((reached or tiers[:1])[-1].rate)


class Clerk:
    """`versions`: each from when it starts to when it ends, of one person."""

    def __init__(self, credits: Sequence[Credit], versions: Sequence[Version], quotas: Quotas) -> None:
        self.credits = sorted(credits, key=self.place)
        self.versions, self.quotas = versions, quotas
        self.book: list[
            tuple[Credit, UUID, Fraction, Fraction]
        ] = []  # who was paid, by which rule, how much, and in all shares
        self.earned: dict[Any, Fraction] = defaultdict(Fraction)  # by stint, what counts towards its cap
        self.fresh: dict[Any, tuple[Fraction, Fraction]] = {}

    @staticmethod
    def place(credit: Credit) -> Any:
        moved = sum(sign * Fraction(fact.net) for sign, fact in facts(credit))
        forwards = credit.share_from <= credit.share_to
        return credit.day, credit.event_id, moved > 0 or (moved == 0 and forwards), credit.role

    def version(self, day: date) -> Version | None:
        return next((v for v in self.versions if v.starts_on <= day and (v.ends_on is None or day <= v.ends_on)), None)

    def stint(self, day: date) -> tuple[date, date]:
        """Walks back and forth while it is the same plan, that counts the same, and the same period."""

        def sort(when: date) -> Any:
            found = self.version(when)
            if found is None:
                return None
            label = {"MONTH": when.month, "QUARTER": (when.month - 1) // 3, "YEAR": 0}[found.period]
            counts = found.currency, found.attains_measure, found.attains_basis, found.period
            return found.plan_id, counts, when.year, label

        first = last = day
        while sort(first - timedelta(days=1)) == sort(day):
            first -= timedelta(days=1)
        while sort(last + timedelta(days=1)) == sort(day):
            last += timedelta(days=1)
        return first, last

    def step(self, credit: Credit) -> Fraction:
        version = self.version(credit.day)
        assert version is not None
        low, high = share(credit)
        lines = [
            sign * based(version.attains_basis, f) for sign, f in facts(credit) if f.measure == version.attains_measure
        ]
        return sum(lines, Fraction(0)) * (high - low) * Fraction(credit.rate or 1)

    def attained(self, credit: Credit, before: Sequence[Credit]) -> Fraction:
        """Of those of the same stint that count for the same person or team."""
        first, last = self.stint(credit.day)
        alike = [c for c in before if first <= c.day <= last and (c.role == "MANAGER") == (credit.role == "MANAGER")]
        return sum((self.step(each) for each in alike), Fraction(0))

    def work(self) -> Amounts:
        for n, credit in enumerate(self.credits):
            earlier = [c for c in self.credits[:n] if (c.order_id, c.role) == (credit.order_id, credit.role)]
            self.take(credit, earlier)
            if self.version(credit.day) is not None:
                self.pay(n, credit, earlier)
        found: Amounts = defaultdict(Fraction)
        for credit, rule_id, amount, _ in self.book:
            found[credit.event_id, credit.order_id, rule_id, credit.role] += amount
        return {key: amount for key, amount in found.items() if amount}

    def paid(self, credit: Credit, rule: Rule) -> list[tuple[Credit, UUID, Fraction, Fraction]]:
        return [
            each
            for each in self.book
            if (each[0].order_id, each[0].role, each[1]) == (credit.order_id, credit.role, rule.id)
        ]

    def take(self, credit: Credit, earlier: list[Credit]) -> None:
        cent = Fraction(1, 10 ** DECIMALS.get(credit.currency, 2))
        for version in self.versions:
            for rule in version.rules:
                before = max(credited(version, rule, earlier), Fraction(0))
                after = max(credited(version, rule, [*earlier, credit]), Fraction(0))
                rows = self.paid(credit, rule)
                if after >= before or not rows:
                    continue
                amount, whole = sum(row[2] for row in rows), sum(row[3] for row in rows)
                low, high = share(credit)
                gone = whole - rounded(whole * after / before, cent)
                taken = amount if after == 0 else min(between(gone, low, high, cent), amount)
                gone = whole if after == 0 else gone
                by_event: dict[Any, Fraction] = defaultdict(Fraction)
                for row in rows:
                    by_event[row[0].day, row[0].event_id] += row[2]
                latest = max((day for (day, _), sums in by_event.items() if sums > 0), default=date.min)
                if version.clawback_months is not None and credit.day > months_later(latest, version.clawback_months):
                    continue
                self.book.append((credit, rule.id, -taken, -gone))
                self.free(credit, rule, taken)

    def free(self, credit: Credit, rule: Rule, taken: Fraction) -> None:
        if self.version(credit.day) is None:
            return
        key = self.stint(credit.day), credit.order_id, rule.id, credit.role
        amount, worth = self.fresh.get(key, (Fraction(0), Fraction(0)))
        if amount:
            less = min(taken, amount)
            self.fresh[key] = amount - less, worth - worth * less / amount
            self.earned[key[0]] -= worth * less / amount

    def pay(self, n: int, credit: Credit, earlier: list[Credit]) -> None:
        version = self.version(credit.day)
        assert version is not None
        rate, (low, high) = Fraction(credit.rate or 1), share(credit)
        cent = Fraction(1, 10 ** DECIMALS.get(credit.currency, 2))
        totals: dict[str, Fraction] = defaultdict(Fraction)
        for each in [*earlier, credit]:
            for sign, fact in facts(each):
                totals[fact.measure] += sign * based(version.basis, fact)
        deal = max([Fraction(0), *totals.values()]) * rate
        for rule in sorted(version.rules, key=lambda each: each.position):
            known, now = credited(version, rule, earlier), credited(version, rule, [*earlier, credit])
            above = max(now, Fraction(0)) - max(known, Fraction(0))
            lines = sum(
                sign * based(version.basis, fact)
                for sign, fact in facts(credit)
                if fact.measure == version.measure and rule.id in paying(version, credit.role, fact, deal)
            )
            if above <= 0 or lines <= 0:
                continue
            base = lines * above / (now - known)
            if rule.kind == "FIXED":
                if known > 0:
                    continue
                full = Fraction(rule.amount or 0) / rate
            else:
                effective = self.effective(n, credit, version, rule)
                if effective is None:
                    continue
                full = base * effective
            self.enter(credit, version, rule, between(full, low, high, cent), rounded(full, cent), cent)

    def effective(self, n: int, credit: Credit, version: Version, rule: Rule) -> Fraction | None:
        unit: Fraction | None = Fraction(1)
        if rule.tier_unit == "QUOTA":
            unit = self.quotas(*self.stint(credit.day), "MANAGER" if credit.role == "MANAGER" else "OWNER")
        if unit is None:
            return None
        if version.tier_mode == "SLAB":
            return height(rule.tiers, unit, self.attained(credit, self.credits))
        start = self.attained(credit, self.credits[:n])
        end = start + self.step(credit)
        if end <= start:
            return height(rule.tiers, unit, end)
        return (area(rule.tiers, unit, end) - area(rule.tiers, unit, start)) / (end - start)

    def enter(
        self, credit: Credit, version: Version, rule: Rule, amount: Fraction, whole: Fraction, cent: Fraction
    ) -> None:
        stint = self.stint(credit.day)
        if version.cap_amount is not None:
            left = max(Fraction(version.cap_amount) - self.earned[stint], Fraction(0))
            fits = min(amount, left / Fraction(credit.rate or 1) // cent * cent)
            if fits < amount:
                whole = rounded(whole * fits / amount, cent)
            amount = fits
            worth = amount * Fraction(credit.rate or 1)
            self.earned[stint] += worth
            key = stint, credit.order_id, rule.id, credit.role
            before = self.fresh.get(key, (Fraction(0), Fraction(0)))
            self.fresh[key] = before[0] + amount, before[1] + worth
        self.book.append((credit, rule.id, amount, whole))


def months_later(day: date, months: int) -> date:
    month = day.month - 1 + months
    year, month = day.year + month // 12, month % 12 + 1
    for last in range(day.day, 0, -1):
        try:
            return date(year, month, last)
        except ValueError:
            continue
    raise AssertionError


def by_cents(tiers: Sequence[Tier], start: int, end: int) -> Fraction:
    """What each single cent of attainment from one value to another pays at its own tier, in cents."""
    paid = Fraction(0)
    for cent in range(start, end):
        reached = [tier for tier in tiers if tier.from_value * 100 <= cent]
        paid += Fraction((reached or tiers[:1])[-1].rate)
    return paid


def monthly(amount: Fraction) -> Quotas:
    """A quota of each month, day by day of it."""

    def quota(first: date, last: date, role: str) -> Fraction | None:
        total, day = Fraction(0), first
        while day <= last:
            following = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
            total += amount / (following - day.replace(day=1)).days
            day += timedelta(days=1)
        return total

    return quota
