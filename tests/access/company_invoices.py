"""The company's invoices and credit notes, as rows: nothing of them is in the books, so nothing is owed of them."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from tests.access.dice import Row, exact, key

TABLES = ("invoices", "invoice_lines", "instalments", "credit_notes", "credit_note_lines", "reminders")
AMOUNTS = ("subtotal_amount", "shipping_amount", "tax_amount", "discount_amount", "total_amount")


def fill(made: dict[str, list[Row]]) -> None:
    for level in (1, 2):
        made["dunning_levels"].append(
            {
                "level": level,
                "after_days": level * 7,
                "subject": "50% late",
                "body": "Pay",
                "subject_zh": "逾期" if level == 2 else None,
                "body_zh": "请付款" if level == 2 else None,
                "active": level == 1,
            }
        )
    for number, order in enumerate(made["orders"], 1):
        if number % 3 and order["total_amount"] > 0:
            _invoice(made, number, order)
    for number, payment in enumerate(made["payments"], 1):
        own = [at for at, each in enumerate(made["invoices"], 1) if each["order_id"] == payment["order_id"]]
        payment["invoice_id"] = key("invoices", own[0]) if own and number % 2 else None
    for allocation in made["allocations"]:
        own = [at for at, each in enumerate(made["invoices"], 1) if each["order_id"] == allocation["order_id"]]
        notes = [
            at
            for at, each in enumerate(made["credit_notes"], 1)
            if own and each["invoice_id"] == key("invoices", own[0])
        ]
        allocation["invoice_id"] = key("invoices", own[0]) if own else None
        allocation["credit_note_id"] = key("credit_notes", notes[0]) if notes else None
        if notes:
            allocation["payment_id"] = None
    for number, write_off in enumerate(made["write_offs"]):
        own = [at for at, each in enumerate(made["invoices"], 1) if each["order_id"] == write_off["order_id"]]
        write_off["invoice_id"] = key("invoices", own[0]) if own and number % 6 < 3 else None


def _parties(number: int) -> Row:
    return {
        "issuer_name": "Köln & Co",
        "issuer_address": "Domplatz 1\nKöln" if number % 2 else None,
        "issuer_tax_id": "DE1" if number % 5 else None,
        "recipient_name": ("Acme", "100% Pure", "中文公司")[number % 3],
        "recipient_address": None,
        "recipient_tax_id": f"TX{number}" if number % 2 else None,
    }


def _invoice(made: dict[str, list[Row]], number: int, order: Row) -> None:
    at = len(made["invoices"]) + 1
    status = ("ISSUED", "ISSUED", "DRAFT", "DISCARDED")[at % 4]
    day = date(2026, 1, 1 + number % 28)
    issued = status == "ISSUED"
    head = {
        "number": f"R-{at}",
        "issued_on": day,
        "due_on": day + timedelta(days=30),
        **_parties(at),
    }
    empty: Row = dict.fromkeys(head)
    made["invoices"].append(
        {
            "customer_id": order["customer_id"],
            "order_id": key("orders", number),
            "status": status,
            "currency": order["currency"],
            **{name: order[name] for name in AMOUNTS},
            "credited_amount": exact(order["total_amount"] / 10, order["currency"]),
            "payment_terms": "NET 30" if issued else None,
            "note": "Thank you" if at % 3 else None,
            **(head if issued else empty),
            "overdue_on": day + timedelta(days=16) if issued else None,
            "dunning_level": 1 + at % 2 if issued and at % 3 else None,
            "dunned_on": day + timedelta(days=20) if issued and at % 3 else None,
            "dunning_stop_reason": "Late ourselves" if issued and at % 5 == 0 else None,
        }
    )
    part = {"customer_id": order["customer_id"], "invoice_id": key("invoices", at), "currency": order["currency"]}
    for position in (1, 2):
        price = exact(Decimal(100 + number * position) / 7, order["currency"])
        made["invoice_lines"].append(
            part
            | {
                "position": position,
                "product_id": key("products", number % 7 + 1) if position == 1 else None,
                "description": ("Widget", "50% off")[position - 1],
                "quantity": Decimal("2.500"),
                "unit_price_amount": price,
                "discount_amount": price,
                "shipping_amount": price * 0,
                "line_amount": price * 2,
                "net_amount": price * 3,
            }
        )
    if issued:
        _issued(made, part, order, day, at)


def _issued(made: dict[str, list[Row]], part: Row, order: Row, day: date, at: int) -> None:
    for position in (1, 2):
        amount = exact(Decimal(position * 3), order["currency"])
        made["instalments"].append(
            part
            | {
                "position": position,
                "due_on": day + timedelta(days=15 * position),
                "amount": amount,
                "paid_before_amount": amount if position == 1 else amount * 0,
                "item_id": None if position == 1 else key("instalments", at),
            }
        )
    made["reminders"].append(
        part
        | {
            "email_id": key("email_messages", 1 + at % 36),
            "level": 1 + at % 2,
            "due_on": day + timedelta(days=15),
            "reminded_on": day + timedelta(days=20),
            "amount": exact(Decimal(3), order["currency"]),
        }
    )
    if at % 2:
        amount = exact(Decimal(at), order["currency"])
        made["credit_notes"].append(
            part
            | {
                "number": f"C-{at}",
                "reason": ("Broken", "Late")[at % 4 // 2],
                "net_amount": amount,
                "tax_amount": amount * 2,
                "total_amount": amount * 3,
                "issued_on": day,
                **_parties(at),
            }
        )
        note = key("credit_notes", len(made["credit_notes"]))
        line = key("invoice_lines", len(made["invoice_lines"]))
        made["credit_note_lines"].append(
            {
                "customer_id": part["customer_id"],
                "credit_note_id": note,
                "invoice_line_id": line if at % 3 else None,
                "position": 1,
                "description": "Widget",
                "quantity": Decimal("1.000") if at % 3 else None,
                "currency": part["currency"],
                "net_amount": amount,
            }
        )
