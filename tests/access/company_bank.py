"""The company's accounts at banks, with lines in every state, and what these may be."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from tests.access.dice import CURRENCIES, Row, exact, key, moment

TABLES = ("bank_accounts", "bank_statements", "bank_lines", "bank_suggestions")
BOOKED = TABLES[1:]
UNVERSIONED = ("bank_statements", "bank_suggestions")
STATES = ("BOOKED", "OPEN", "IGNORED", "OPEN", "SUSPENSE")


def fill(made: dict[str, list[Row]]) -> None:
    for number, currency in enumerate(CURRENCIES, 1):
        made["bank_accounts"].append(
            {
                "name": f"Giro {5 - number}",
                "number": f"DE{number}",
                "currency": currency,
                "layout": '{"columns": {"booked_on": "day", "amount": "amount"}}' if number % 2 else None,
            }
        )
        _statement(made, number, currency)
    for number, payment in enumerate(made["payments"][:30], 1):
        _line(made, number, payment)
    for number, refund in enumerate(made["refunds"][:3], 1):
        _line(made, 30 + number, refund, refund=number)
    for number, payout in enumerate(made["payouts"], 1):
        of = {"amount": payout["net_amount"], "currency": payout["currency"], "customer_id": None, "order_id": None}
        _line(made, 33 + number, of, payout=number)


def _statement(made: dict[str, list[Row]], number: int, currency: str) -> None:
    opening, moved = exact(Decimal(100), currency), exact(Decimal(number), currency)
    told = number % 2 == 0
    made["bank_statements"].append(
        {
            "account_id": key("bank_accounts", number),
            "digest": f"{number:064}",
            "format": "CAMT_053" if told else "CSV",
            "reference": f"S{number}" if told else None,
            "currency": currency,
            "opening_amount": opening if told else None,
            "opening_on": date(2026, 1, number) if told else None,
            "moved_amount": moved,
            "closing_amount": opening + moved if told else None,
            "closing_on": date(2026, 1, 5 + number) if told else None,
            "first_on": date(2026, 1, number),
            "last_on": date(2026, 1, 5 + number),
            "line_count": 20 + number,
            "known_count": number,
            "skipped_count": number % 3,
        }
    )


def _line(
    made: dict[str, list[Row]], number: int, of: Row, *, refund: int | None = None, payout: int | None = None
) -> None:
    """The first payout's line is open, with suggestions of it."""
    place = CURRENCIES.index(of["currency"]) + 1
    status = ("OPEN" if payout == 1 else "BOOKED") if refund or payout else STATES[number % 5]
    payment = key("payments", number) if status == "BOOKED" and not (refund or payout) else None
    made["bank_lines"].append(
        {
            "account_id": key("bank_accounts", place),
            "statement_id": key("bank_statements", place),
            "key": f"{number:064}",
            "booked_on": date(2026, 1, 1 + number % 9),
            "value_on": date(2026, 1, 2 + number % 9) if number % 2 else None,
            "amount": -of["amount"] if refund else of["amount"] + exact(Decimal(1), of["currency"]),
            "currency": of["currency"],
            "name": ("Acme", None, "100% Pure")[number % 3],
            "counterparty": f"DE9{number % 4}" if number % 3 else None,
            "texts": [f"Invoice {number}", "back\\slash"][: number % 3],
            "end_to_end_id": f"e2e-{number}" if number % 2 else None,
            "bank_id": f"b{number}" if number % 4 else None,
            "kind": "PMNT-RCDT-ESCT" if number % 2 else None,
            "is_reversal": number % 7 == 0,
            "place": f"line {number}",
            "status": status,
            "status_reason": "Fee" if status == "IGNORED" else None,
            "settled_at": None if status == "OPEN" else moment(number),
            "customer_id": of["customer_id"] if status == "BOOKED" else None,
            "payment_id": payment,
            "refund_id": key("refunds", refund) if refund else None,
            "payout_id": key("payouts", payout) if payout and status == "BOOKED" else None,
            "suspense_id": key("suspense_receipts", number // 5 + 1) if status == "SUSPENSE" else None,
        }
    )
    if status == "OPEN":
        for n in (1, 2):
            _suggestion(made, len(made["bank_lines"]), n, of, number, payout)


def _suggestion(made: dict[str, list[Row]], line: int, n: int, of: Row, number: int, payout: int | None) -> None:
    nothing = exact(Decimal(0), of["currency"])
    own = [at for at, each in enumerate(made["invoices"], 1) if each["customer_id"] == of["customer_id"]]
    made["bank_suggestions"].append(
        {
            "line_id": key("bank_lines", line),
            "n": n,
            "certainty": ("LIKELY", "POSSIBLE")[n - 1],
            "basis": ("AMOUNT", "OLDEST_DUE")[n - 1],
            "reasons": ["The amount settles it."][: number % 2],
            "labels": [f"SO-{number}"],
            "currency": of["currency"],
            "amount": of["amount"],
            "rest_amount": exact(Decimal(1), of["currency"]),
            "short_amount": nothing,
            "customer_id": of["customer_id"],
            "order_id": of["order_id"] if n == 1 else None,
            "invoice_id": key("invoices", own[0]) if own and n == 2 else None,
            "payment_id": key("payments", number) if number % 3 == 0 and not payout else None,
            "refund_id": None,
            "payout_id": key("payouts", payout) if payout else None,
            "item_ids": [],
        }
    )
