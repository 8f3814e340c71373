"""The company's campaigns and leads, how these were routed, and its pools.

Leads of everybody who could have one, in queues of different people, in the pool, nowhere; merged and alike across
owners; converted into customers of others.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from tests.access.dice import CURRENCIES, Dice, Row, exact, key, moment

LEADS = 48
OWNERS = (5, 5, 6, 7, 9, 10, 4, 14, 15, 17, 18, 11, 3, 8)
QUEUES = (5, 8, None, 11, 17)
SELLERS = (5, 6, 7, 9, 10, 14, 4, 11)
LEAD_POOL, CUSTOMER_POOL, OLD_POOL = 1, 2, 3


def fill(made: dict[str, list[Row]]) -> None:
    dice = Dice(20261123)
    _marketing(made)
    _routing(made, dice)
    _pools(made)
    _leads(made, dice)
    _decisions(made, dice)
    _pairs(made)
    _stays(made, dice)


def _marketing(made: dict[str, list[Row]]) -> None:
    for number, channel in enumerate(("SEARCH", "EVENT", "EMAIL", "SEARCH", "OTHER"), 1):
        currency = CURRENCIES[number % 4]
        made["campaigns"].append(
            {
                "name": f"Campaign {'ÄäZza'[number - 1]}{number}",
                "channel": channel,
                "status": ("PLANNED", "ACTIVE", "ENDED")[number % 3],
                "currency": currency,
                "budget_amount": exact(Decimal(1000 * number), currency) if number != 4 else None,
                "spend_amount": exact(Decimal(333 * number), currency) if number != 2 else None,
                "starts_on": date(2026, 1, number),
                "ends_on": date(2026, 6, 1) if number % 2 else None,
                "owner_id": key("users", (12, 14, None)[number % 3]),
            }
        )
    for number in (1, 2, 3):
        made["intake_sources"].append(
            {
                "name": f"Form {number}",
                "key_hash": str(number) * 64,
                "hint": f"crmf_{number}",
                "active": number != 2,
                "allowed_origins": ["https://shop.example"] if number == 1 else [],
                "lead_source": ("web", None)[number % 2],
                "campaign_id": key("campaigns", number) if number != 3 else None,
            }
        )
        made["follow_up_rules"].append(
            {
                "name": f"After {number} days",
                "lead_status": ("NEW", "NURTURING", "QUALIFIED")[number - 1],
                "after_h": 24 * number,
                "action": ("TASK", "EMAIL")[number % 2],
                "subject": "Say hello",
                "body": "Hello {{ name }}",
                "active": number != 3,
            }
        )


def _routing(made: dict[str, list[Row]], dice: Dice) -> None:
    for number, owner in enumerate(QUEUES, 1):
        made["lead_queues"].append(
            {"name": f"Queue {number}", "deadline_min": 60 * number, "owner_id": key("users", owner)}
        )
    for number, status in enumerate(("RETIRED", "ACTIVE", "DRAFT"), 1):
        made["routing_rulesets"].append(
            {
                "name": f"Rules of week {number}",
                "number": number,
                "status": status,
                "rates": '{"EUR": "1.08"}',
                "accept_within_min": 30 if number == 2 else None,
                "activated_at": moment(number) if status != "DRAFT" else None,
                "fallback_queue_id": key("lead_queues", 3) if number != 1 else None,
            }
        )
    for number, target in enumerate(("USER", "MATCHING", "TEAM", "QUEUE", "ACCOUNT_OWNER", "MATCHING"), 1):
        made["routing_rules"].append(
            {
                "name": f"Rule {number}",
                "position": number,
                "conditions": json.dumps({"all": [{"field": "region", "eq": "north"}]}),
                "target": target,
                "distribution": dice.pick(("ROUND_ROBIN", "WEIGHTED", "LEAST_LOADED")),
                "max_lead_age_h": dice.maybe(24),
                "ruleset_id": key("routing_rulesets", 2 - number % 2),
                "target_user_id": key("users", 6) if target == "USER" else None,
                "target_team_id": key("teams", 3) if target == "TEAM" else None,
                "target_queue_id": key("lead_queues", 2) if target == "QUEUE" else None,
            }
        )
    for number, person in enumerate(SELLERS, 1):
        made["seller_profiles"].append(
            {
                "attributes": json.dumps({"region": ("north", "south")[number % 2]}),
                "max_open": dice.maybe(number * 5),
                "max_per_day": dice.maybe(number),
                "weight": number,
                "hours": "{}",
                "opted_out": number == 4,
                "user_id": key("users", person),
            }
        )
        made["absences"].append(
            {
                "starts_at": moment(number),
                "ends_at": moment(number) + timedelta(days=number),
                "reason": dice.pick(("ill", "holiday", None)),
                "cancelled_at": moment(number) if number == 3 else None,
                "user_id": key("users", person),
            }
        )


def _pools(made: dict[str, list[Row]]) -> None:
    for number, kind in enumerate(("LEAD", "CUSTOMER", "LEAD"), 1):
        made["pools"].append(
            {
                "name": f"Pool {number}",
                "kind": kind,
                "reclaim_after_d": 30 if number != OLD_POOL else None,
                "holding_limit": 50,
                "shows": ["company", "region"],
                "active": number != OLD_POOL,
            }
        )


def _place(number: int) -> Row:
    """An owner, a queue, the pool, or nowhere yet."""
    owner = queue = pool = None
    if number % 6 == 2:
        queue = (number // 6) % len(QUEUES) + 1
    elif number % 6 == 4:
        pool = LEAD_POOL
    elif number % 12 != 6:
        owner = OWNERS[(number * 5 // 3) % len(OWNERS)]
    return {
        "owner_id": key("users", owner),
        "queue_id": key("lead_queues", queue),
        "queue_deadline": moment(number + 2) if queue else None,
        "pool_id": key("pools", pool),
        "assigned_at": moment(number) if owner else None,
        "accept_by": moment(number + 1) if owner and number % 2 else None,
    }


def _leads(made: dict[str, list[Row]], dice: Dice) -> None:
    for number in range(1, LEADS + 1):
        currency = dice.pick(CURRENCIES)
        place = _place(number)
        status = dice.pick(("NEW", "NURTURING", "QUALIFIED", "CONVERTED", "LOST"))
        merged = dice.below(number - 1) + 1 if number % 8 == 7 else None
        if place["pool_id"] or place["queue_id"]:
            status = "NEW"
        if merged:
            status = "MERGED"
        made["leads"].append(
            place
            | {
                "name": dice.pick(("Jo", "jo Ünal", "100% Bo", "Kim")),
                "company": dice.pick(("Acme", "Zeta_Labs", None)),
                "email": f"lead{number}@secret.example" if number % 4 else None,
                "region": dice.pick(("north", "south", None)),
                "employee_count": dice.maybe(number),
                "budget_amount": dice.maybe(exact(Decimal(number * 777) / 3, currency), 70),
                "currency": currency,
                "message": dice.maybe("Call me,\nplease"),
                "attributes": json.dumps({"wants": number, "more": [None, "ä"]}) if number % 2 else "{}",
                "lead_source": dice.pick(("web", "event", None)),
                "score": number % 7 * 10,
                "status": status,
                "status_since": moment(number),
                "lost_reason": "Too dear" if status == "LOST" else None,
                "received_at": moment(number // 2),
                "last_activity_at": moment(number + 1),
                "converted_at": moment(number) if status == "CONVERTED" else None,
                "merged_into_id": key("leads", merged),
                "campaign_id": key("campaigns", dice.maybe(dice.below(5) + 1)),
                "intake_source_id": key("intake_sources", dice.maybe(dice.below(3) + 1)),
                "routing_id": None,
            }
            | _became(made, dice, converted=status == "CONVERTED" or number % 5 == 0)
        )
        for step in range(1 + dice.below(2)):
            made["lead_transitions"].append(
                {
                    "from_status": "NEW" if step else None,
                    "to_status": ("NURTURING", "QUALIFIED")[number % 2] if step else "NEW",
                    "reason": dice.maybe("of a secret"),
                    "seconds_in_status": 60 * number if step else None,
                    "occurred_at": moment(number + step),
                    "actor_id": key("users", dice.pick((5, 9, None))),
                    "lead_id": key("leads", number),
                }
            )


def _became(made: dict[str, list[Row]], dice: Dice, *, converted: bool) -> Row:
    """The customer, contact and deal that a lead became, whoever's they are."""
    contact = dice.below(len(made["contacts"])) + 1
    deal = dice.below(len(made["opportunities"])) + 1
    return {
        "customer_id": made["contacts"][contact - 1]["customer_id"] if converted else None,
        "contact_id": key("contacts", contact) if converted else None,
        "opportunity_id": key("opportunities", dice.maybe(deal, 70)) if converted else None,
    }


def _decisions(made: dict[str, list[Row]], dice: Dice) -> None:
    for number, lead in enumerate(made["leads"], 1):
        if number % 7 == 0:
            continue
        for attempt in range(1, 2 + dice.below(2)):
            made["assignment_decisions"].append(_decision(dice, number, lead, attempt))
        lead["routing_id"] = key("assignment_decisions", len(made["assignment_decisions"]))


def _decision(dice: Dice, number: int, lead: Row, attempt: int) -> Row:
    manual = dice.below(5) == 0
    candidates = [{"user": str(key("users", person)), "why": "ABSENT"} for person in SELLERS[:3]]
    return {
        "reason": "MANUAL" if manual else dice.pick(("MATCHED", "NO_CAPACITY", "NOT_ACCEPTED")),
        "candidates": json.dumps({"sellers": candidates}),
        "explanation": f"The rule of {dice.pick(('north', 'south'))} fits.",
        "attempt": attempt,
        "decided_at": moment(number + attempt),
        "lead_id": key("leads", number),
        "actor_id": key("users", 4) if manual else None,
        "chosen_id": lead["owner_id"] if (number + attempt) % 3 else key("users", SELLERS[number % 4]),
        "previous_id": key("users", dice.pick((5, 6, 9, None))),
        "queue_id": lead["queue_id"],
        "rule_id": None if manual else key("routing_rules", dice.below(6) + 1),
        "ruleset_id": key("routing_rulesets", dice.pick((1, 2))),
    }


def _pairs(made: dict[str, list[Row]]) -> None:
    """Each lead looks like one that came some time before; neighbours have all kinds of owners."""
    for number in range(4, LEADS + 1, 2):
        for distance in (1, 3)[: 1 + number % 4 // 2]:
            made["lead_duplicates"].append(
                {
                    "reasons": '{"email": true}',
                    "similarity": number % 101,
                    "status": ("OPEN", "DISMISSED", "MERGED")[number % 3],
                    "settled_at": moment(number) if number % 3 else None,
                    "lead_id": key("leads", number),
                    "other_id": key("leads", number - distance),
                }
            )


def _stays(made: dict[str, list[Row]], dice: Dice) -> None:
    """What is in a pool now, and what was: claimed by somebody or taken out."""
    for number, lead in enumerate(made["leads"], 1):
        if lead["pool_id"]:
            _stay(made, dice, number, LEAD_POOL, {"lead_id": key("leads", number)}, left=False)
        elif number % 3 == 0:
            _stay(made, dice, number, LEAD_POOL, {"lead_id": key("leads", number)}, left=True)
    for number, customer in enumerate(made["customers"], 1):
        if number % 4 == 0:
            left = customer["pool_id"] is None
            _stay(made, dice, number, CUSTOMER_POOL, {"customer_id": key("customers", number)}, left=left)


def _stay(made: dict[str, list[Row]], dice: Dice, number: int, pool: int, what: Row, *, left: bool) -> None:
    what = {"lead_id": None, "customer_id": None, "pool_id": key("pools", pool)} | what
    claimed: Any = dice.pick((5, 6, 9, 10, 14, None)) if left else None
    made["pool_items"].append(
        what
        | {
            "shown": json.dumps({"company": "Acme", "region": "north"}),
            "entered_at": moment(number),
            "left_at": moment(number + 3) if left else None,
            "last_owner_id": key("users", dice.pick((5, 6, 7, 9, None))),
            "claimed_by_id": key("users", claimed),
        }
    )
    for kind in ("RECLAIMED", "CLAIMED")[: 2 if claimed else 1]:
        made["pool_moves"].append(
            what
            | {
                "kind": kind,
                "reason": dice.maybe("Nobody called for 30 days"),
                "occurred_at": moment(number + 1),
                "user_id": key("users", claimed if kind == "CLAIMED" else dice.pick((5, 6, 7, None))),
            }
        )
