"""Who is next: exact shares whoever is there, and nobody who may not."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from crmgql.domain.routing import distribution
from crmgql.domain.routing.candidates import Load
from crmgql.domain.routing.distribution import TURN, Runner

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
WEIGHTS = st.lists(st.integers(1, 1000), min_size=1, max_size=25)


def team(weights: list[int]) -> list[Runner]:
    return [Runner(UUID(int=number), weight) for number, weight in enumerate(weights, start=1)]


def deal(kind: str, runners: list[Runner], leads: int) -> Counter[UUID]:
    got: Counter[UUID] = Counter()
    for _ in range(leads):
        next_one = distribution.pick(kind, runners)
        distribution.serve(kind, next_one)
        got[next_one.id] += 1
    return got


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, st.integers(1, 400))
def test_nobody_is_a_whole_lead_off_their_share_at_any_time(weights: list[int], leads: int) -> None:
    runners = team(weights)
    got: Counter[UUID] = Counter()
    for number in range(1, leads + 1):
        got += deal("WEIGHTED", runners, 1)
        for runner in runners:
            due = Fraction(number * runner.weight, sum(weights))
            assert abs(got[runner.id] - due) <= 1


def test_a_heavy_one_among_light_ones_need_not_wait() -> None:
    runners = team([1000, *[1] * 20])
    assert deal("WEIGHTED", runners, 21)[UUID(int=1)] >= 20


@given(WEIGHTS, st.integers(1, 200))
def test_round_robin_knows_no_weights(weights: list[int], leads: int) -> None:
    got = deal("ROUND_ROBIN", team(weights), leads)
    counts = [got[UUID(int=number)] for number in range(1, len(weights) + 1)]
    assert max(counts) - min(counts) <= 1


@given(WEIGHTS, st.randoms())
def test_the_order_in_which_sellers_are_read_does_not_matter(weights: list[int], random) -> None:  # type: ignore[no-untyped-def]
    for kind in ("FIXED", "ROUND_ROBIN", "LEAST_LOADED"):
        one, other = team(weights), team(weights)
        random.shuffle(other)
        for _ in range(20):
            picked = distribution.pick(kind, one), distribution.pick(kind, other)
            assert picked[0].id == picked[1].id
            for runner in picked:
                distribution.serve(kind, runner)


def test_fixed_is_always_the_same() -> None:
    assert deal("FIXED", team([1, 5, 9]), 10) == {UUID(int=1): 10}


def test_least_loaded_fills_by_room() -> None:
    small, large = Runner(UUID(int=1), max_open=10), Runner(UUID(int=2), max_open=30)
    large.load = Load(open=12)  # 40 %
    got = deal("LEAST_LOADED", [small, large], 28)
    assert (small.load.open, large.load.open) == (10, 30)
    assert got == {small.id: 10, large.id: 18}
    by_weight = team([1, 3])
    deal("LEAST_LOADED", by_weight, 40)
    assert [runner.load.open for runner in by_weight] == [10, 30]


def test_who_was_away_does_not_get_everything_at_once() -> None:
    runners = team([1, 1, 1])
    distribution.level(runners, NOW)
    deal("WEIGHTED", runners, 30)
    later = NOW + timedelta(days=7)
    distribution.level(runners[1:], later)
    deal("WEIGHTED", runners[1:], 200)
    back = later + timedelta(minutes=20)
    distribution.level(runners[1:], back)
    distribution.level(runners, back)
    assert deal("WEIGHTED", runners, 30) == {runner.id: 10 for runner in runners}


def test_who_is_new_starts_where_the_least_served_is() -> None:
    runners = team([1, 1])
    distribution.level(runners, NOW)
    deal("WEIGHTED", runners, 100)
    new = Runner(UUID(int=9), weight=2)
    distribution.level([*runners, new], NOW)
    assert new.turns == 50 * TURN
    assert deal("WEIGHTED", [*runners, new], 40)[new.id] == 20


def test_a_night_without_leads_makes_nobody_new() -> None:
    runners = team([1, 1])
    distribution.level(runners, NOW)
    distribution.serve("WEIGHTED", runners[0])
    distribution.level(runners, NOW + timedelta(hours=14))
    assert [runner.turns for runner in runners] == [TURN, 0]


def test_a_million_turns_of_a_third_are_still_exact() -> None:
    runners = team([3, 1])
    for runner in runners:
        runner.turns = 1_000_000 * TURN
    assert deal("WEIGHTED", runners, 40) == {runners[0].id: 30, runners[1].id: 10}
