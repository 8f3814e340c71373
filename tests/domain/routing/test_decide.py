"""Decisions: who is left out and why, what comes first, and a typed reason for everything that goes wrong."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmgql.domain.routing import decide, hours, matching
from crmgql.domain.routing.candidates import Load, Seller
from tests.conftest import NOW
from tests.domain.routing.company import QUEUE, board, decided, lead, rule, seller

ABSENT = ((NOW - timedelta(days=1), NOW + timedelta(days=1)),)
NIGHT = hours.parse({"timezone": "UTC", "mon": ["00:00-01:00"]})
REGION = matching.parse({"match": [{"seller": "region", "op": "eq", "lead": "region"}]})


@pytest.mark.parametrize(
    ("values", "load", "why", "reason"),
    [
        ({"active": False}, Load(), "INACTIVE", "NO_ELIGIBLE_SELLER"),
        ({"sells": False}, Load(), "NOT_SELLER", "NO_ELIGIBLE_SELLER"),
        ({"opted_out": True}, Load(), "OPTED_OUT", "NO_AVAILABILITY"),
        ({"absences": ABSENT}, Load(), "ABSENT", "NO_AVAILABILITY"),
        ({"hours": NIGHT}, Load(), "OUTSIDE_HOURS", "NO_AVAILABILITY"),
        ({"hours": None}, Load(), "PROFILE_WRONG", "NO_AVAILABILITY"),
        ({"max_open": 3}, Load(open=3), "AT_CAPACITY", "NO_CAPACITY"),
        ({"max_open": 0}, Load(), "AT_CAPACITY", "NO_CAPACITY"),
        ({"max_per_day": 2}, Load(today=2), "DAILY_LIMIT", "NO_CAPACITY"),
    ],
)
def test_each_way_of_being_left_out(values: dict[str, Any], load: Load, why: str, reason: str) -> None:
    one = seller(1, **values)
    rules = [rule(target="USER", user_id=one.id)]
    made = decided(rules, [one], loads={one.id: load})
    assert (made.reason, made.chosen, made.queue) == (reason, None, QUEUE)
    assert orjson.loads(made.considered.text) == {f"usr_{one.id.hex}": why}
    assert made.queue_deadline == NOW + timedelta(minutes=60)


@pytest.mark.parametrize(("starts", "ends", "absent"), [(0, 1, True), (-1, 0, False), (-1, 1, True), (1, 2, False)])
def test_an_absence_ends_when_it_says(starts: int, ends: int, absent: bool) -> None:
    one = seller(1, absences=((NOW + timedelta(hours=starts), NOW + timedelta(hours=ends)),))
    assert (decided([rule()], [one]).chosen is None) is absent


def test_limits_may_be_passed_by_a_rule_that_says_so() -> None:
    one = seller(1, max_open=1, max_per_day=1)
    made = decided([rule(respect_capacity=False)], [one], loads={one.id: Load(9, 9)})
    assert made.chosen == one


def test_who_does_not_fit_and_who_declined() -> None:
    north, south = seller(1, values={"region": "north"}), seller(2, values={"region": "south"})
    made = decided([rule(match=REGION)], [north, south], lead(values={"region": "south"}))
    assert (made.chosen, made.considered.excluded) == (south, {north.id: "NO_MATCH"})
    made = decided(
        [rule(match=REGION)], [north, south], lead(values={"region": "south"}, declined=frozenset({south.id}))
    )
    assert (made.reason, made.considered.excluded[south.id]) == ("NO_ELIGIBLE_SELLER", "DECLINED")


def test_the_first_rule_that_is_met_decides_even_if_it_finds_nobody() -> None:
    one = seller(1)
    rules = [
        rule(1, {"field": "region", "op": "eq", "value": "North"}, target="USER", user_id=UUID(int=77)),
        rule(2),
    ]
    assert decided(rules, [one], lead(values={"region": "north"})).reason == "NO_ELIGIBLE_SELLER"
    made = decided(rules, [one], lead(values={"region": "south"}))
    assert (made.rule, made.chosen) == (rules[1], one)


def test_what_kept_most_of_them_is_the_reason() -> None:
    sellers = [seller(1, max_open=0), seller(2, absences=ABSENT), seller(3, absences=ABSENT), seller(4, active=False)]
    assert decided([rule()], sellers).reason == "NO_AVAILABILITY"
    assert decided([rule()], [*sellers, seller(5, max_open=0)]).reason == "NO_CAPACITY"


def test_no_rule_and_an_old_lead_go_to_the_fallback_queue() -> None:
    assert decided([], [seller(1)]).reason == "NO_RULE"
    old = decided([rule(max_age_h=24)], [seller(1)], lead(age=timedelta(hours=25)))
    assert (old.reason, old.queue) == ("TOO_OLD", QUEUE)
    assert decided([rule(max_age_h=24)], [seller(1)], lead(age=timedelta(hours=24))).reason == "MATCHED"


def test_without_a_fallback_queue_it_goes_nowhere_and_says_so() -> None:
    made = decided([], [], fallback=None)
    assert (made.reason, made.chosen, made.queue) == ("NO_RULE", None, None)
    assert "no fallback queue" in made.explanation


def test_the_owner_of_the_account_comes_first() -> None:
    owner, other = seller(1, sells=False, max_open=0), seller(2)
    known = lead(account=(owner.id, "e-mail"))
    made = decided([rule()], [owner, other], known, accept_within_min=30)
    assert (made.reason, made.chosen, made.rule) == ("EXISTING_ACCOUNT_OWNER", owner, None)
    assert made.accept_by == NOW + timedelta(minutes=30)
    assert decided([rule()], [owner, other], known, account_owner_first=False).chosen == other


@pytest.mark.parametrize("values", [{"active": False}, {"absences": ABSENT}])
def test_an_owner_who_is_not_there_is_passed_over(values: dict[str, Any]) -> None:
    owner, other = seller(1, **values), seller(2)
    made = decided([rule()], [owner, other], lead(account=(owner.id, "domain")))
    assert (made.reason, made.chosen) == ("MATCHED", other)
    assert "domain" in made.explanation


def test_a_rule_for_account_owners_is_passed_over_by_strangers() -> None:
    owner, other = seller(1), seller(2)
    rules = [rule(1, target="ACCOUNT_OWNER"), rule(2, target="USER", user_id=other.id)]
    found = decided(rules, [owner, other], lead(account=(owner.id, "company")), account_owner_first=False)
    assert (found.reason, found.chosen, found.rule) == ("EXISTING_ACCOUNT_OWNER", owner, rules[0])
    assert decided(rules, [owner, other], account_owner_first=False).chosen == other


def test_queues_and_teams() -> None:
    team = UUID(int=50)
    inside, outside = seller(1, teams=frozenset({team, UUID(int=51)})), seller(2, teams=frozenset({UUID(int=52)}))
    assert decided([rule(target="TEAM", team_id=team)], [inside, outside]).chosen == inside
    queued = decided([rule(target="QUEUE", queue_id=QUEUE.id)], [inside])
    assert (queued.reason, queued.queue) == ("MATCHED", QUEUE)


def test_a_rule_that_can_not_be_read_is_an_error_with_the_words() -> None:
    row = {
        "id": UUID(int=1), "name": "Broken", "conditions": {"field": "score", "op": "gte", "value": "high"},
        "seller_match": {}, "target": "MATCHING", "target_user_id": None, "target_team_id": None,
        "target_queue_id": None, "distribution": "WEIGHTED", "max_lead_age_h": None, "respect_capacity": True,
    }  # fmt: skip
    made = decided([decide.read_rule(row)], [seller(1)])
    assert (made.reason, made.queue) == ("ERROR", QUEUE)
    assert "Rule “Broken”: conditions.value: Must be a number." in made.explanation
    assert decided([rule()], [seller(1)], mistake="The rates are wrong.").reason == "ERROR"


def test_too_many_re_routes_end_in_the_fallback_queue() -> None:
    made = decided([rule()], [seller(1)], lead(reroutes=4), max_reroutes=3)
    assert (made.reason, made.queue) == ("NOT_ACCEPTED", QUEUE)
    assert decided([rule()], [seller(1)], lead(reroutes=3), max_reroutes=3).chosen


def test_nobody_gets_more_than_fits_in_a_batch() -> None:
    sellers = [seller(1, max_open=3), seller(2, max_per_day=2), seller(3, max_open=4, max_per_day=9)]
    facts = board([rule()], sellers, {UUID(int=3): Load(open=1)})
    made = [decide.decide(lead(number), facts) for number in range(12)]
    got = Counter(each.chosen.id.int for each in made if each.chosen)
    assert got == {1: 3, 2: 2, 3: 3}
    assert {each.reason for each in made[8:]} == {"NO_CAPACITY"}


def test_one_capacity_for_all_rules() -> None:
    one = seller(1, max_open=1)
    rules = [rule(1, {"field": "region", "op": "isSet"}), rule(2)]
    facts = board(rules, [one])
    assert decide.decide(lead(1), facts).chosen == one
    assert decide.decide(lead(2, values={"region": "x"}), facts).reason == "NO_CAPACITY"


SELLERS = st.builds(
    lambda active, sells, out, absent, open, day, region, weight: {
        "active": active,
        "sells": sells,
        "opted_out": out,
        "absences": ABSENT if absent else (),
        "max_open": open,
        "max_per_day": day,
        "values": {"region": region},
        "weight": weight,
    },
    *[st.booleans()] * 4,
    st.none() | st.integers(0, 5),
    st.none() | st.integers(0, 5),
    st.sampled_from([None, "north", "south"]),
    st.integers(1, 9),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(SELLERS, max_size=6),
    st.lists(st.tuples(st.sampled_from([None, "north", "south"]), st.frozensets(st.integers(1, 6)))),
    st.sampled_from(["FIXED", "ROUND_ROBIN", "WEIGHTED", "LEAST_LOADED"]),
    st.booleans(),
)
def test_never_somebody_who_may_not_and_always_a_place(
    people: list[dict[str, Any]], leads: list[tuple[str | None, frozenset[int]]], kind: str, matched: bool
) -> None:
    sellers = [seller(number, **values) for number, values in enumerate(people, start=1)]
    rules = [rule(distribution=kind, match=REGION if matched else ())]
    boards = board(rules, sellers), board(rules, sellers)
    got: Counter[UUID] = Counter()
    for number, (region, declined) in enumerate(leads):
        one = lead(
            number, values={"region": region} if region else {}, declined=frozenset(UUID(int=each) for each in declined)
        )
        made, again = (decide.decide(one, each) for each in boards)
        assert made == again
        assert (made.chosen is None) != (made.queue is None)
        if made.chosen is not None:
            check(made.chosen, one, got[made.chosen.id], region if matched else None, matched)
            got[made.chosen.id] += 1
        else:
            assert made.reason in ("NO_ELIGIBLE_SELLER", "NO_AVAILABILITY", "NO_CAPACITY")


def check(chosen: Seller, one: decide.Lead, had: int, region: str | None, matched: bool) -> None:
    assert chosen.active
    assert chosen.sells
    assert not chosen.opted_out
    assert not chosen.absences
    assert chosen.max_open is None or had < chosen.max_open
    assert chosen.max_per_day is None or had < chosen.max_per_day
    assert chosen.id not in one.declined
    assert not matched or chosen.values["region"] == region is not None
