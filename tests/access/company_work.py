"""The company's pipelines and what happened in them, its jobs, what its people are told and asked to do."""

from __future__ import annotations

import hashlib
import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.access.dice import Dice, Row, exact, key, moment
from tests.access.values import DOCUMENT

DIRECT = ("Prospecting", "Engaging", "Proposal", "Negotiation", "Won", "Lost")
PARTNER = ("Talk", "Offer", "Signed", "Gone")
NO_CURSOR = "evc_" + "0" * 56
"""Before the first event."""

PEOPLE = (5, 6, 7, 9, 10, 4, 14, 15, 8, 3, 1, 2, 11, 12, 13, 16, 17, 18, 19)


def stage(number: int, name: str) -> UUID:
    """The stage that the n-th deal is in; each fifth is a partner's."""
    place = [each.upper() for each in DIRECT].index(name) + 1
    if number % 5 == 0:
        place = len(DIRECT) + (1, 1, 2, 2, 3, 4)[place - 1]
    return UUID(str(key("stages", place)))


def fill(made: dict[str, list[Row]]) -> None:
    dice = Dice(20261122)
    _pipelines(made)
    _moves(made, dice)
    _jobs(made, dice)
    _told(made, dice)
    _subscriptions(made)
    _webhooks(made)
    _exports(made)
    _rates(made)
    _periods(made)
    _providers(made)


def fit_deals(made: dict[str, list[Row]]) -> None:
    """What refers to a deal is of its customer, as keys want it: instead of another's it names one of its customer's, or none."""
    deals = {key("opportunities", number): deal for number, deal in enumerate(made["opportunities"], 1)}
    for number, row in enumerate([*made["orders"], *made["interactions"], *made["leads"]]):
        if row["customer_id"] is not None and row["opportunity_id"] is not None:
            own = [id for id, deal in deals.items() if deal["customer_id"] == row["customer_id"]]
            if row["opportunity_id"] not in own:
                row["opportunity_id"] = own[number % len(own)] if own else None
    for task in made["tasks"]:
        if task["customer_id"] is not None and task["opportunity_id"] is not None:
            task["customer_id"] = deals[task["opportunity_id"]]["customer_id"]


def _pipelines(made: dict[str, list[Row]]) -> None:
    made["companies"].append(
        {
            "name": "Köln & Co",
            "timezone": "Asia/Kathmandu",
            "first_day_of_week": 7,
            "fiscal_year_start_month": 4,
            "fiscal_year_start_day": 6,
            "default_currency": "KWD",
            "locale": "ne-NP",
        }
    )
    made["business_calendars"] += [
        {"name": "Köln", "timezone": "Europe/Berlin", "holidays": '{"dates": ["2026-12-25"]}'},
        {"name": "Always", "timezone": "UTC", "working_days": '{"days": [1, 2, 3, 4, 5, 6, 7]}'},
    ]
    made["pipelines"] += [
        {"name": "Sales", "is_default": True, "calendar_id": None},
        {"name": "Partners", "is_default": False, "calendar_id": key("business_calendars", 1)},
    ]
    for pipeline, names in ((1, DIRECT), (2, PARTNER)):
        for position, name in enumerate(names, 1):
            left = len(names) - position
            made["stages"].append(
                {
                    "name": name,
                    "position": position,
                    "status": {1: "WON", 0: "LOST"}.get(left, "OPEN"),
                    "probability": position * 10 if left else 0,
                    "stale_after_h": 48 if left > 1 else None,
                    "archived_at": None,
                    "pipeline_id": key("pipelines", pipeline),
                }
            )
    for number in range(1, 9):
        made["key_actions"].append(
            {
                "name": f"Do {number % 3}",
                "position": number,
                "required": number % 2 == 0,
                "archived_at": moment(number) if number == 5 else None,
                "stage_id": key("stages", number % 4 + 1),
            }
        )
    made["score_rules"] += [
        {"name": "Big", "field": "amount", "operator": "GTE", "value": '{"value": "1000"}', "points": 20},
        {"name": "Known", "field": "customer", "operator": "IS_SET", "points": 5, "active": False},
    ]


def _moves(made: dict[str, list[Row]], dice: Dice) -> None:
    deals = made["opportunities"]
    for number, deal in enumerate(deals, 1):
        under: Row = {"opportunity_id": key("opportunities", number), "customer_id": deal["customer_id"]}
        if number % 2:
            made["opportunity_actions"].append(
                under
                | {
                    "done_at": moment(number),
                    "done_by_id": key("users", dice.pick((5, 6, 9, None))),
                    "key_action_id": key("key_actions", number % 8 + 1),
                }
            )
        if number % 3:
            made["stale_alerts"].append(
                under
                | {
                    "episode": number % 2 + 1,
                    "threshold": dice.pick(("OWNER", "MANAGER")),
                    "due_at": moment(number),
                    "alerted_at": moment(number + 1),
                    "user_id": key("users", dice.pick((5, 6, 9, 4, None))),
                }
            )
        for step in range(1 + dice.below(3)):
            made["stage_transitions"].append(under | _transition(dice, deal, number + step, step))


def _transition(dice: Dice, deal: Row, at: int, step: int) -> Row:
    return {
        "from_stage_id": key("stages", step) if step else None,
        "to_stage_id": key("stages", step + 1),
        "seconds_in_stage": 3600 * at if step else None,
        "amount_before": exact(Decimal(at * 100), deal["currency"]) if step else None,
        "amount_after": deal["amount"],
        "currency": deal["currency"],
        "expected_close_before": date(2026, 3, 1) if step else None,
        "expected_close_after": deal["expected_close"],
        "occurred_at": moment(at),
        "actor_id": key("users", dice.pick((5, 6, 9, None))),
    }


def _jobs(made: dict[str, list[Row]], dice: Dice) -> None:
    made["schedules"] += [
        {"name": "Nightly", "kind": "leads.route", "cron": "0 3 * * *", "timezone": "Asia/Shanghai"},
        {"name": "Often", "kind": "stale.sweep", "every_s": 60, "arguments": '{"secret": "of the admin"}'},
        {"name": "Once", "kind": "digests.send", "once_at": moment(9), "enabled": False, "deleted_at": moment(9)},
    ]
    for number in range(1, 31):
        status = ("PENDING", "RUNNING", "DONE", "DEAD", "CANCELLED", "DONE")[number % 6]
        over = status in ("DONE", "DEAD", "CANCELLED")
        actor = dice.pick((5, 5, 6, 4, 3, 1, 2, 12, 13, 14, 16, None))
        made["jobs"].append(
            {
                "kind": dice.pick(("leads.route", "email.send", "leads.import")),
                "queue": dice.pick(("quick", "bulk")),
                "arguments": json.dumps({"lead_id": f"secret of {actor}"}),
                "status": status,
                "priority": number % 3,
                "due_at": moment(number),
                "attempts": 2 if status != "PENDING" else 0,
                "failures": 2 if status == "DEAD" else 0,
                "max_failures": 2,
                "lease_by": key("users", 1) if status == "RUNNING" else None,
                "lease_until": moment(900) if status == "RUNNING" else None,
                "finished_at": moment(number + 2) if over else None,
                "progress_total": dice.maybe(3_000_000_000 if number == 9 else number),
                "result": json.dumps({"moved": number}) if status == "DONE" else None,
                "error_code": "BOOM" if status == "DEAD" else None,
                "error_message": "it says a secret" if status == "DEAD" else None,
                "parent_id": key("jobs", number - 4) if number % 4 == 0 and number > 4 else None,
                "schedule_id": key("schedules", dice.pick((1, 2))) if over and number % 2 else None,
                "actor_id": key("users", actor),
            }
        )


def _about(made: dict[str, list[Row]], dice: Dice, number: int) -> Row:
    """What a task or a notification is about: any of a lead, a deal, a customer; one's own or not."""
    lead = dice.maybe(dice.below(48) + 1, 60)
    deal = dice.maybe(dice.below(len(made["opportunities"])) + 1, 40)
    customer = dice.maybe(dice.below(len(made["customers"])) + 1, 40)
    return {
        "lead_id": key("leads", lead),
        "opportunity_id": key("opportunities", deal),
        "customer_id": key("customers", customer),
        "created_at": moment(number),
    }


def _told(made: dict[str, list[Row]], dice: Dice) -> None:
    for number in range(1, 61):
        person = PEOPLE[number % len(PEOPLE)]
        made["notifications"].append(
            _about(made, dice, number)
            | {
                "kind": dice.pick(("lead.assigned", "opportunity.stale", "pool.warning")),
                "title": f"For user {person}",
                "body": dice.maybe("between you and me"),
                "occurred_at": moment(number),
                "read_at": moment(number + 1) if number % 3 else None,
                "user_id": key("users", person),
            }
        )
        assignee: Any = None if number % 9 == 0 else PEOPLE[(number * 7) % len(PEOPLE)]
        status = ("OPEN", "DONE", "CANCELLED", "OPEN")[number % 4]
        made["tasks"].append(
            _about(made, dice, number)
            | {
                "subject": dice.pick(("Call back", "call again", "Send 50% offer")),
                "description": dice.maybe("what only the doer should read"),
                "status": status,
                "due_at": dice.maybe(moment(number) + timedelta(hours=1), 70),
                "done_at": moment(number) if status == "DONE" else None,
                "assignee_id": key("users", assignee),
            }
        )
    for number in range(1, 37):
        status = ("SENT", "PENDING", "FAILED", "SKIPPED")[number % 4]
        to_lead, to_user = number % 3 == 0, number % 3 == 1
        is_billed, invoice = number % 6 == 2, number % len(made["invoices"])
        customer = made["invoices"][invoice]["customer_id"]
        notes = [at for at, each in enumerate(made["credit_notes"], 1) if each["customer_id"] == customer]
        noted, told = is_billed and number % 12 == 8 and bool(notes), is_billed and number % 18 == 14
        made["email_messages"].append(
            {
                "to_address": f"{number}@shop.example",
                "subject": dice.pick(("Welcome", "Your digest", "Offer")),
                "body": "word by word",
                "status": status,
                "error": "no such mailbox" if status == "FAILED" else None,
                "sent_at": moment(number) if status == "SENT" else None,
                "lead_id": key("leads", dice.below(48) + 1) if to_lead else None,
                "user_id": key("users", PEOPLE[number % len(PEOPLE)]) if to_user else None,
                "customer_id": customer if is_billed else None,
                "invoice_id": key("invoices", invoice + 1) if is_billed and not noted and not told else None,
                "credit_note_id": key("credit_notes", notes[0]) if noted and not told else None,
                "statement_since": date(2026, 1, 1) if told else None,
                "statement_until": date(2026, 1, 31) if told else None,
                "statement_currency": "EUR" if told else None,
            }
        )


def _subscriptions(made: dict[str, list[Row]]) -> None:
    for number, owner in enumerate((1, 13, 13, 5, 2, 12), 1):
        held = number in (2, 5)
        made["event_subscriptions"].append(
            {
                "name": f"Mirror {number % 4}",
                "owner_id": key("users", owner),
                "scopes": ["orders:read", "events:read"] if number == 3 else None,
                "document_hash": hashlib.sha256(DOCUMENT.encode()).hexdigest(),
                "kinds": ["order.*", f"secret.of{owner}"] if number % 2 else [],
                "fields": ["total"] if number == 4 else [],
                "filter": '{"kind": {"startsWith": "order."}}' if number == 2 else None,
                "read_as": "EVENT" if number % 3 == 0 else "DELIVERY",
                "active": number != 6,
                "cursor": NO_CURSOR,
                "lease_by": f"worker of {owner}" if held else None,
                "lease_token": "held" if held else None,
                "lease_until": moment(900) if held else None,
                "pulled": NO_CURSOR if held else None,
                "deleted_at": moment(9) if number == 6 else None,
            }
        )


def _webhooks(made: dict[str, list[Row]]) -> None:
    """Endpoints of an administrator, an integration, and a seller who once was one."""
    for number, owner in enumerate((1, 13, 13, 5), 1):
        made["webhook_endpoints"].append(
            {
                "url": f"https://example.com/secret-of-{owner}",
                "kinds": ["order.*", "payment.received"] if number % 2 else [],
                "api_version": "2026-11",
                "key_salt": "secret",
                "public_key": f"whpk_{number}",
                "cursor": f"evc_{number}",
                "status": "ACTIVE" if number % 2 else "PENDING",
                "verified_at": moment(number) if number % 2 else None,
                "owner_id": key("users", owner),
            }
        )
        for n in range(3):
            about = {"message_id": f"evt_{n}", "kind": "order.created", "endpoint_id": key("webhook_endpoints", number)}
            over = {"status": "DEAD", "finished_at": moment(n)} if n else {"status": "WAITING"}
            made["webhook_deliveries"].append(about | over | {"position": n, "line": key("users", owner)})
            answer = {"response_status": 500, "response_headers": '{"server": "secret"}', "response_body": "a secret"}
            failure = {"error_code": "NOT_CONNECTED", "error_message": "a secret"}
            made["webhook_attempts"].append(
                about
                | (answer if n else failure)
                | {"number": n + 1, "url": "https://example.com/secret", "request_sha256": "0" * 64}
                | {"latency_ms": n, "accepted": False, "attempted_at": moment(n)}
            )


def _exports(made: dict[str, list[Row]]) -> None:
    for number, owner in enumerate((1, 5, 5, 2, 12, 13, 4), 1):
        done = number % 3 != 0
        made["exports"].append(
            {
                "owner_id": key("users", owner),
                "job_id": key("jobs", number),
                "record_type": "Order" if number % 2 else "Customer",
                "document": f"fragment Record on Order {{ secret_of_{owner}: id }}",
                "filter": '{"status": {"eq": "DRAFT"}}' if number == 2 else None,
                "scopes": ["orders:read"] if number == 3 else None,
                "roles": ["SELLER"] if done else None,
                "record_count": number if done else 0,
                "size_bytes": 100 * number if done else 0,
                "crc32": number if done else None,
                "cursor": NO_CURSOR if done else None,
                "started_at": moment(number),
                "finished_at": moment(number + 1) if done else None,
                "expires_at": moment(number + 100) if done else None,
            }
        )


def _rates(made: dict[str, list[Row]]) -> None:
    for number, currency in enumerate(("USD", "EUR", "JPY", "USD"), 1):
        made["fx_rates"].append(
            {
                "currency": currency,
                "base_currency": "KWD",
                "effective_on": date(2026, 1, number),
                "rate": Decimal("0.305") * number,
                "source": "MANUAL" if number % 2 else "ECB",
            }
        )


def _periods(made: dict[str, list[Row]]) -> None:
    """Years before anything happened, so that everything can be booked."""
    for number, status in enumerate(("CLOSED", "CLOSED", "SOFT_CLOSED", "OPEN"), 1):
        made["accounting_periods"].append(
            {
                "company_id": key("companies", 1),
                "first_on": date(2000 + number, 1, 1),
                "last_on": date(2000 + number, 12, 31),
                "status": status,
                "closed_at": None if status == "OPEN" else moment(number),
            }
        )


def _providers(made: dict[str, list[Row]]) -> None:
    """What providers say of payments, of what nobody knows whose it is, and of nothing."""
    for number, provider in enumerate(("STRIPE", "ADYEN"), 1):
        made["payment_accounts"].append(
            {
                "name": f"Shop at {provider}",
                "provider": provider,
                "identities": ["Shop"] if number == 2 else [],
                "public_keys": "{}",
                "captured_at_once": number == 2,
                "test_mode": False,
                "default_method": "OTHER",
                "active": number == 1,
                "secrets_sealed": "c2VhbGVk",
                "secret_set_at": moment(number),
            }
        )
    for number in range(1, 13):
        payment = made["payments"][number - 1]
        waits, known = number % 4 == 0, number % 4 in (1, 2)
        made["provider_events"].append(
            {
                "account_id": key("payment_accounts", 1 + number % 2),
                "provider": ("STRIPE", "ADYEN")[number % 2],
                "post_id": key("provider_events", number),
                "event_id": f"evt_{number}",
                "kind": "PAYMENT_SUCCEEDED" if waits or known else "UNKNOWN",
                "raw_kind": "payment_intent.succeeded",
                "rank": 50,
                "occurred_at": moment(number),
                "success": True,
                "live": True,
                "names": [f"pi_{number}"],
                "reference": f"pi_{number}",
                "also": [],
                "order_reference": f"A-{number}" if number % 3 else None,
                "amount": payment["amount"] if waits or known else None,
                "currency": payment["currency"] if waits or known else None,
                "cumulative": False,
                "status": "WAITING" if waits else "DONE" if known else "NOTED",
                "reason": "It names no order." if waits else None,
                "retry_at": moment(number + 9) if waits else None,
                "settled_at": None if waits else moment(number),
                "customer_id": payment["customer_id"] if known else None,
                "order_id": payment["order_id"] if known else None,
                "payment_id": key("payments", number) if known else None,
            }
        )
