"""A small company with everything in it that a rule could get wrong: fixed ids, fixed times, the same on every run.

Two team trees, managers above managers, sellers, customers owned by each and by nobody, parents and children across
owners, orders in every state and several currencies, commissions of others, opportunities without a customer.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from tests.access import company_bank, company_books, company_invoices, company_leads, company_plans, company_work
from tests.access.dice import CURRENCIES, TABLES, Dice, Row, exact, key, moment
from tests.access.rules import BANK, OPEN_TO_ALL, SEEN_AS_PAYMENTS, TABLE_OF

STAGES = ("PROSPECTING", "ENGAGING", "PROPOSAL", "NEGOTIATION", "WON", "LOST")
UNVERSIONED = {
    "api_keys",
    "contract_payments",
    "events",
    "audit_entries",
    "opportunity_actions",
    "stage_transitions",
    "stale_alerts",
    "jobs",
    "notifications",
    "email_messages",
    "lead_transitions",
    "lead_duplicates",
    "assignment_decisions",
    "pool_items",
    "pool_moves",
    "erasures",
    "webhook_deliveries",
    "webhook_attempts",
    "exports",
    "fx_rates",
    "allocations",
    "write_offs",
    "invoice_lines",
    "instalments",
    "credit_note_lines",
    "reminders",
    "provider_events",
    "ledger_entries",
    "reconciliation_runs",
    *company_bank.UNVERSIONED,
    *company_plans.UNVERSIONED,
}
EARLY = (
    "users",
    "teams",
    "business_calendars",
    "pipelines",
    "stages",
    "key_actions",
    "schedules",
    "campaigns",
    "intake_sources",
    "lead_queues",
    "routing_rulesets",
    "routing_rules",
    "pools",
    "customers",
    "contacts",
    "products",
    "opportunities",
    "contracts",
    "orders",
    "suspense_receipts",
    "payments",
    "leads",
    "webhook_endpoints",
    "payment_accounts",
)
"""Tables that others refer to."""

SUBJECTS = {1: ("leads", 1), 2: ("leads", 2), 3: ("customers", 3), 4: ("payments", 4), 5: ("notifications", 5)}
"""What the first events are about; the others are about orders."""
SUBJECT_TYPES = {
    "leads": "Lead",
    "customers": "Customer",
    "payments": "Payment",
    "notifications": "Notification",
    "orders": "Order",
}

STATUSES = ("DRAFT", "CONFIRMED", "PROCESSING", "INVOICED", "SHIPPED", "DELIVERED", "UNAVAILABLE", "CANCELLED")

PEOPLE: tuple[tuple[str, tuple[str, ...], int | None, str | None], ...] = (
    ("Ada Admin", ("ADMIN",), None, "9000.00 USD"),
    ("Fin Finance", ("FINANCE",), None, "7000.00 EUR"),
    ("Nora North", ("MANAGER",), None, "8000.00 USD"),
    ("Nils Northeast", ("MANAGER",), 1, "6500.00 USD"),
    ("Kim", ("SELLER",), 2, "4000.00 USD"),
    ("Kim", ("SELLER",), 2, "4100.00 EUR"),
    ("Lea Deep", ("SELLER",), 3, "410000 JPY"),
    ("Sam South", ("MANAGER",), None, "8000.00 USD"),
    ("Zoë Südseller", ("SELLER",), 4, "3900.500 KWD"),
    ("Uma Unteamed", ("SELLER",), None, None),
    ("Sue Support", ("SUPPORT",), 1, "3500.00 USD"),
    ("Mia Marketer", ("MARKETER",), 4, "3600.00 USD"),
    ("Ira Integration", ("INTEGRATION",), None, None),
    ("Max Marketseller", ("MARKETER", "SELLER"), 2, "3700.00 EUR"),
    ("Max Managerseller", ("MANAGER", "SELLER"), None, "6000.00 USD"),
    ("Nobody", (), None, "1.00 USD"),
    ("Flo Financeseller", ("FINANCE", "SELLER"), 2, "5000.00 USD"),
    ("Tim Teamless", ("MANAGER",), 4, "5100.00 USD"),
    ("Sue Market", ("SUPPORT", "MARKETER"), None, "5200.00 USD"),
)
TEAMS: tuple[tuple[str, int | None, int | None], ...] = (
    ("North", 3, None),
    ("North-East", 4, 1),
    ("Deep", None, 2),
    ("South", 8, None),
    ("South-West", 15, 4),
    ("Orphans", None, None),
)
OWNERS = (5, 5, 6, 6, 7, 9, 9, 10, 4, 3, 14, 15, 8, 17, None, None, 5, 9)
NAMES = (
    "Acme",
    "acme Labs",
    "100% Pure",
    "under_score",
    "back\\slash",
    "Ärzte & Söhne",
    "Emoji 😀 Inc",
    "Quote \" and ' Ltd",
    "Zeta",
    "Acme",
    "tab\there",
    "中文公司",
    "Nine",
    "Ten",
    "Eleven",
    "Twelve",
    "Acme",
    "Zeta",
)


def rows() -> dict[str, list[Row]]:
    """All tables, in an order in which they can be inserted (users first without their team)."""
    made: dict[str, list[Row]] = {table: [] for table in [*EARLY, *(t for t in TABLES if t not in EARLY)]}
    dice = Dice(20261101)
    _people(made)
    _catalog(made, dice)
    _customers(made, dice)
    _deals(made, dice)
    _orders(made, dice)
    _contracts(made)
    _payments(made, dice)
    _suspense(made)
    _passed_on(made)
    _allocations(made)
    _write_offs(made)
    _refunds(made)
    _disputes(made)
    company_invoices.fill(made)
    _talk(made, dice)
    _trail(made, dice)
    company_work.fill(made)
    company_leads.fill(made)
    company_books.fill(made)
    company_bank.fill(made)
    company_plans.fill(made)
    company_work.fit_deals(made)
    _trail_of_everything(made)
    for table, listed in made.items():
        for number, row in enumerate(listed, 1):
            row |= {"id": key(SAME_IDS.get(table, table), number), "created_at": moment(number)}
            if table not in UNVERSIONED:
                row |= {
                    "version": 1 + number % 3,
                    "updated_at": moment(number + 5),
                    "source": None,
                    "external_id": None,
                }
                if number % 4 == 0:
                    row |= {"source": "legacy", "external_id": f"{table}-{number}"}
    return made


def _people(made: dict[str, list[Row]]) -> None:
    for number, (name, roles, team, pay) in enumerate(PEOPLE, 1):
        amount, _, currency = (pay or "").partition(" ")
        made["users"].append(
            {
                "name": name,
                "email": f"user{number}@company.example" if number != 10 else None,
                "roles": list(roles),
                "team_id": key("teams", team),
                "region": ("north", "south", None)[number % 3],
                "active": number % 5 != 0,
                "salary_amount": Decimal(amount) if amount else None,
                "salary_currency": currency or None,
            }
        )
    for name, manager, parent in TEAMS:
        made["teams"].append(
            {"name": name, "manager_id": key("users", manager), "parent_id": key("teams", parent), "region": None}
        )
    for number in (1, 2, 3):
        made["api_keys"].append(
            {
                "name": f"Key {number}",
                "hint": f"crm_{number}",
                "key_hash": str(number) * 64,
                "scopes": ["*:read"] if number == 1 else ["orders:read", "customers:read"],
                "user_id": key("users", 13 - number),
                "expires_at": moment(900) if number == 2 else None,
            }
        )


def _catalog(made: dict[str, list[Row]], dice: Dice) -> None:
    for number in range(1, 8):
        currency = CURRENCIES[number % 4]
        price = exact(Decimal(1000 + 333 * number) / 7, currency)
        made["products"].append(
            {
                "sku": f"SKU-{number}" if number != 3 else None,
                "name": ("GTX Pro", "GTX Basic", "MG Special", "GTX Pro", "Änder", "_under", "GTK 500")[number - 1],
                "category": (None, "tools", "toys")[number % 3],
                "description": dice.maybe("All\nof it"),
                "status": ("ACTIVE", "DRAFT", "END_OF_LIFE")[number % 3],
                "specs": '{"weight": 12.5, "tags": ["a", null]}' if number % 2 else "{}",
                "price_amount": price if number != 6 else None,
                "cost_amount": exact(price / 3, currency) if number not in (2, 6) else None,
                "currency": currency,
            }
        )


def _customers(made: dict[str, list[Row]], dice: Dice) -> None:
    for number, (name, owner) in enumerate(zip(NAMES, OWNERS, strict=True), 1):
        currency = CURRENCIES[number % 4]
        parent = dice.below(len(NAMES)) + 1
        kind, status = dice.pick(("COMPANY", "PERSON")), dice.pick(("PROSPECT", "CUSTOMER", "DORMANT", "CHURNED"))
        merged = number - 3 if number % 7 == 0 else None
        made["customers"].append(
            {
                "name": name,
                "kind": kind,
                "status": "MERGED" if merged else status,
                "merged_into_id": key("customers", merged),
                "merge_reason": "Twice" if merged else None,
                "email": f"{dice.pick('abc')}@shop.example" if number % 3 else None,
                "phone": f"+49 {number % 3}" if number % 2 else None,
                "industry": ("retail", "100%_wool", None)[number % 3],
                "segment": ("key account", None)[number % 2],
                "region": ("north", None)[number % 2],
                "country": dice.pick((None, "DE", "US")),
                "city": dice.maybe("Köln"),
                "currency": currency,
                "founded_year": dice.maybe(1900 + number),
                "employee_count": dice.maybe(number * 10),
                "annual_revenue_amount": dice.maybe(exact(Decimal(number * 1000), currency)),
                "credit_limit_amount": exact(Decimal(number * 500), currency) if number % 3 == 0 else None,
                "credit_policy": "WARN" if number % 6 == 0 else "NONE",
                "notes": dice.maybe("secret of the owner"),
                "language": (None, "EN", "ZH")[number % 3],
                "timezone": (None, "Asia/Tokyo")[number % 2],
                "dunning_stop_reason": "Quarrel" if number % 4 == 0 else None,
                "owner_id": key("users", owner),
                "parent_id": key("customers", parent) if parent != number and number % 2 else None,
                "pool_id": key("pools", 2) if number == 16 else None,
            }
        )
        for place in range(dice.below(4)):
            made["contacts"].append(
                {
                    "name": dice.pick(("Jo", "Bo", "Ünal")),
                    "title": dice.maybe("CEO"),
                    "email": dice.maybe("jo@shop.example"),
                    "is_primary": place == 1,
                    "customer_id": key("customers", number),
                }
            )


def _deals(made: dict[str, list[Row]], dice: Dice) -> None:
    for number in range(1, 41):
        currency = dice.pick(CURRENCIES)
        stage = dice.pick(STAGES)
        customer = key("customers", dice.maybe(dice.below(len(NAMES)) + 1, 75))
        contact = dice.below(len(made["contacts"])) + 1
        fits = customer is not None and customer == made["contacts"][contact - 1]["customer_id"]
        made["opportunities"].append(
            {
                "name": f"Deal {number % 9}",
                "stage_id": company_work.stage(number, stage),
                "stage_since": moment(number),
                "score": number * 7 % 101,
                "risk": ("LOW", "MEDIUM", "HIGH")[number % 3],
                "amount": dice.maybe(exact(Decimal(number * 997) / 3, currency), 80),
                "currency": currency,
                "probability": dice.maybe(number % 101),
                "engaged_on": date(2026, 2, 1) if number % 2 else None,
                "expected_close": date(2026, 3, 1 + number % 5) if number % 3 else None,
                "closed_on": date(2026, 4, 1) if stage in ("WON", "LOST") else None,
                "contact_id": key("contacts", contact) if fits else None,
                "customer_id": customer,
                "owner_id": key("users", dice.pick((5, 6, 7, 9, 10, 4, 14, 15, None))),
                "product_id": key("products", dice.maybe(dice.below(7) + 1)),
            }
        )


def _orders(made: dict[str, list[Row]], dice: Dice) -> None:
    for number in range(1, 49):
        customer = dice.below(len(NAMES)) + 1
        currency = dice.pick((CURRENCIES[customer % 4], "EUR"))
        lines = [_line(dice, currency) for _ in range(dice.below(4))]
        subtotal = sum((line["line_amount"] for line in lines), exact(Decimal(0), currency))
        extra = exact(Decimal(number), currency)
        status = STATUSES[number % 8]
        made["orders"].append(
            {
                "number": f"SO-{1000 + number}",
                "status": status,
                "currency": currency,
                "subtotal_amount": subtotal,
                "shipping_amount": extra,
                "tax_amount": exact(Decimal(0), currency),
                "discount_amount": exact(subtotal / 10, currency),
                "total_amount": subtotal + extra - exact(subtotal / 10, currency),
                "credit_approved_amount": extra if number % 7 == 0 else None,
                "ordered_at": moment(number // 2),
                "confirmed_at": moment(number) if status != "DRAFT" else None,
                "note": dice.maybe("leave at the door"),
                "customer_id": key("customers", customer),
                "opportunity_id": key("opportunities", dice.maybe(dice.below(40) + 1)),
                "seller_id": key("users", dice.pick((5, 6, 7, 9, 10, 14, None))),
            }
        )
        for position, line in enumerate(lines, 1):
            owned = {"customer_id": key("customers", customer), "order_id": key("orders", number)}
            made["order_lines"].append(line | owned | {"position": position})


def _contracts(made: dict[str, list[Row]]) -> None:
    """One for every other customer, with a plan of three payments, and every fourth order of such a customer under it."""
    for number in range(1, 10):
        customer, currency = key("customers", 2 * number), CURRENCIES[2 * number % 4]
        value = exact(Decimal(3 * number), currency)
        made["contracts"].append(
            {
                "number": f"CT-{1000 + number}",
                "title": f"Supply {number}",
                "status": ("DRAFT", "ACTIVE", "ENDED", "TERMINATED")[number % 4],
                "starts_on": date(2026, 1, 1 + number // 2),
                "currency": currency,
                "value_amount": value,
                "owner_id": key("users", (5, 6, 9)[number % 3]),
                "customer_id": customer,
            }
        )
        own = {"customer_id": customer, "contract_id": key("contracts", number), "currency": currency}
        for n in range(1, 4):
            part = {
                "n": n,
                "due_on": date(2026, n, 1 + number),
                "amount": exact(Decimal(number), currency),
                "owner_id": key("users", 5),
            }
            made["contract_payments"].append(own | part)
    for number, order in enumerate(made["orders"], 1):
        if number % 5 == 0:
            _splits(made, order, key("orders", number))
        at = int(order["customer_id"].int & 0xFFFF)
        order["contract_id"] = key("contracts", at // 2) if number % 4 == 0 and at % 2 == 0 and at < 19 else None


def _splits(made: dict[str, list[Row]], order: Row, id: UUID) -> None:
    for user, role, share in ((5, "OWNER", "0.6"), (6, "OWNER", "0.4"), (9, "OVERLAY", "0.25")):
        split = {"user_id": key("users", user), "role": role, "share": Decimal(share)}
        made["commission_splits"].append({"customer_id": order["customer_id"], "order_id": id} | split)


def _line(dice: Dice, currency: str) -> Row:
    quantity = dice.pick((Decimal("1.000"), Decimal("2.500"), Decimal("0.333")))
    price = exact(Decimal(100 + dice.below(9999)) / 7, currency)
    discount = exact(Decimal(dice.below(3)), currency)
    return {
        "description": dice.pick(("Widget", "wid_get", "50% off")),
        "quantity": quantity,
        "currency": currency,
        "unit_price_amount": price,
        "discount_amount": discount,
        "shipping_amount": exact(Decimal(dice.below(5)), currency),
        "line_amount": exact(quantity * price, currency) - discount,
        "unit_cost_amount": dice.maybe(exact(price / 3, currency), 85),
        "product_id": key("products", dice.maybe(dice.below(7) + 1, 80)),
        "seller_id": key("users", dice.maybe(9)),
    }


def _payments(made: dict[str, list[Row]], dice: Dice) -> None:
    for number in range(1, 71):
        at = dice.below(len(made["orders"])) + 1
        order = made["orders"][at - 1]
        status = dice.pick(("RECEIVED", "RECEIVED", "RECEIVED", "PENDING", "FAILED", "CANCELLED"))
        share = dice.pick((Decimal("0.5"), Decimal("1"), Decimal("1.2")))
        made["payments"].append(
            {
                "amount": exact(order["total_amount"] * share, order["currency"]),
                "currency": order["currency"],
                "method": dice.pick(("CREDIT_CARD", "BANK_TRANSFER", "VOUCHER", "CHECK")),
                "status": status,
                "installments": 1 + number % 3,
                "received_at": moment(number) if status == "RECEIVED" else None,
                "provider": "pay" if number % 3 else None,
                "provider_reference": f"ref-{number}" if number % 3 else None,
                "customer_id": order["customer_id"],
                "order_id": key("orders", at) if number % 9 else None,
            }
        )
        for _ in range(dice.below(3)):
            _commission(made, dice, number)


def _commission(made: dict[str, list[Row]], dice: Dice, payment: int) -> None:
    paid = made["payments"][payment - 1]
    rate = dice.pick((Decimal("0.050000"), Decimal("0.125000")))
    made["commissions"].append(
        {
            "base_amount": paid["amount"],
            "rate": rate,
            "amount": exact(paid["amount"] * rate, paid["currency"]) * dice.pick((1, 1, -1)),
            "currency": paid["currency"],
            "status": dice.pick(("PENDING", "EARNED", "PAID", "CANCELLED")),
            "earned_at": moment(payment // 3),
            "customer_id": paid["customer_id"],
            "order_id": paid["order_id"],
            "payment_id": key("payments", dice.maybe(payment, 85)),
            "seller_id": key("users", dice.pick((5, 6, 7, 9, 10, 4, 8, 14, 15))),
        }
    )


def _suspense(made: dict[str, list[Row]]) -> None:
    """Each fifth payment was money of nobody before, some still is, and some went back."""
    for number, payment in enumerate(made["payments"], 1):
        payment["suspense_id"] = None
        if number % 5:
            continue
        row = len(made["suspense_receipts"]) + 1
        status = ("ASSIGNED", "OPEN", "RETURNED")[row % 3]
        if status == "ASSIGNED":
            payment["suspense_id"] = key("suspense_receipts", row)
        made["suspense_receipts"].append(
            {
                "amount": payment["amount"] + 1,
                "currency": payment["currency"],
                "method": "BANK_TRANSFER",
                "status": status,
                "received_at": moment(number),
                "ended_at": None if status == "OPEN" else moment(number + 1),
                "payer": "Somebody",
            }
        )


def _passed_on(made: dict[str, list[Row]]) -> None:
    """Some payments took over what the last one of another customer in the same currency gave."""
    last: dict[str, Row] = {}
    for number, payment in enumerate(made["payments"], 1):
        before = last.get(payment["currency"])
        fits = payment["status"] == "RECEIVED" and payment["provider"] is None and payment["suspense_id"] is None
        is_another = before is not None and before["customer_id"] != payment["customer_id"]
        payment["paid_from_id"] = before["key"] if before and fits and is_another else None
        last[payment["currency"]] = {"customer_id": payment["customer_id"], "key": key("payments", number)}


def _allocations(made: dict[str, list[Row]]) -> None:
    """Each third payment settles two parts of an order; the second part is undone again. Each fifth settles another order, too,
    and each tenth of these does so no more."""
    for number, payment in enumerate(made["payments"], 1):
        if number % 3 or payment["order_id"] is None:
            continue
        part = {name: payment[name] for name in ("customer_id", "order_id", "currency")}
        part |= {"payment_id": key("payments", number), "allocated_on": date(2026, 1, 1 + number % 28)}
        paid_currency = "JPY" if number % 2 else payment["currency"]  # as for an order in another currency
        for turn in range(3):
            row = len(made["allocations"]) + 1
            amount = Decimal(7 + number) * (1 if turn == 0 else 2)
            made["allocations"].append(
                part
                | {
                    "amount": exact(amount, payment["currency"]),
                    "paid_currency": paid_currency,
                    "paid_amount": exact(amount, paid_currency),
                    "undoes_id": key("allocations", row - 1) if turn == 2 else None,
                    **dict.fromkeys(("item_id", "source_item_id", "entry_id"), key("allocations", row)),
                }
            )
    for number, payment in enumerate(made["payments"], 1):
        place = payment["customer_id"], payment["currency"]
        orders = [n for n, each in enumerate(made["orders"], 1) if (each["customer_id"], each["currency"]) == place]
        others = [key("orders", n) for n in orders if key("orders", n) != payment["order_id"]]
        if number % 5 or not others:
            continue
        for turn in range(2 if number % 10 == 0 else 1):
            row = len(made["allocations"]) + 1
            made["allocations"].append(
                {
                    "customer_id": payment["customer_id"],
                    "order_id": others[0],
                    "currency": payment["currency"],
                    "payment_id": key("payments", number),
                    "allocated_on": date(2026, 2, 1),
                    "amount": exact(Decimal(3), payment["currency"]),
                    "paid_currency": payment["currency"],
                    "paid_amount": exact(Decimal(3), payment["currency"]),
                    "undoes_id": key("allocations", row - 1) if turn else None,
                    **dict.fromkeys(("item_id", "source_item_id", "entry_id"), key("allocations", row)),
                }
            )


def _write_offs(made: dict[str, list[Row]]) -> None:
    """Some allocations are completed; another part of their orders is written off, and that is undone again."""
    for number, allocation in enumerate(made["allocations"], 1):
        if number % 5 != 1:
            continue
        part = {name: allocation[name] for name in ("customer_id", "order_id", "currency")}
        part |= {"written_off_on": date(2026, 2, 1 + number % 28)}
        for turn in range(3):
            row = len(made["write_offs"]) + 1
            made["write_offs"].append(
                part
                | {
                    "amount": exact(Decimal(1 + number % 4 + turn), part["currency"])
                    if turn < 2
                    else made["write_offs"][-1]["amount"],
                    "account": ("WRITE_OFF", "ROUNDING", "ROUNDING")[turn],
                    "reason": None if turn else "Too little to ask for.",
                    "allocation_id": None if turn else key("allocations", number),
                    "undoes_id": key("write_offs", row - 1) if turn == 2 else None,
                    **dict.fromkeys(("item_id", "entry_id"), key("write_offs", row)),
                }
            )


def _refunds(made: dict[str, list[Row]]) -> None:
    """Each fifth payment is refunded twice, in part, with every status; each tenth refund is of a customer's credit."""
    for number, payment in enumerate(made["payments"], 1):
        for turn in range(0 if number % 5 else 2):
            row = len(made["refunds"]) + 1
            status = ("SUCCEEDED", "REQUESTED", "SUCCEEDED", "FAILED", "UNKNOWN", "CANCELLED")[row % 6]
            made["refunds"].append(
                {name: payment[name] for name in ("customer_id", "currency", "method", "provider")}
                | {
                    "payment_id": key("payments", number) if row % 10 else None,
                    "amount": exact(Decimal(1 + turn + row % 3), payment["currency"]),
                    "status": status,
                    "reason": "By letter" if row % 2 else None,
                    "provider_reference": f"re-{row}" if payment["provider"] and row % 3 else None,
                    "requested_at": moment(number),
                    "ended_at": None if status in ("REQUESTED", "UNKNOWN") else moment(number + 1),
                }
            )


def _disputes(made: dict[str, list[Row]]) -> None:
    """Each seventh payment is disputed, some at a fee; what some allocations settle and write-offs are of is a dispute's, too."""
    for number, payment in enumerate(made["payments"], 1):
        if number % 7:
            continue
        row = len(made["disputes"]) + 1
        status = ("OPEN", "WON", "LOST")[row % 3]
        made["disputes"].append(
            {name: payment[name] for name in ("customer_id", "currency", "provider")}
            | {
                "payment_id": key("payments", number),
                "amount": exact(Decimal(2 + row), payment["currency"]),
                "fee_amount": exact(Decimal("1.5"), payment["currency"]) if row % 2 else None,
                "status": status,
                "reason": "Not received" if row % 2 else None,
                "provider_reference": f"dp-{row}" if payment["provider"] else None,
                "opened_at": moment(number),
                "ended_at": None if status == "OPEN" else moment(number + 1),
            }
        )
    for number, each in enumerate([*made["allocations"], *made["write_offs"]]):
        own = [at for at, one in enumerate(made["disputes"], 1) if one["customer_id"] == each["customer_id"]]
        each["dispute_id"] = key("disputes", own[0]) if own and number % 3 == 0 else None


def _talk(made: dict[str, list[Row]], dice: Dice) -> None:
    contacts = made["contacts"]
    for number in range(1, 51):
        at = dice.below(len(contacts)) + 1
        customer = contacts[at - 1]["customer_id"]
        made["interactions"].append(
            {
                "kind": dice.pick(("CALL", "EMAIL", "MEETING", "CHAT", "NOTE")),
                "subject": dice.pick(("Hello", "hello again", "Offer")),
                "body": dice.maybe("…"),
                "occurred_at": moment(number * 3 % 40),
                "author_id": key("users", dice.pick((5, 6, 9, 11, None))),
                "contact_id": key("contacts", dice.maybe(at)),
                "customer_id": customer,
                "opportunity_id": key("opportunities", dice.maybe(dice.below(40) + 1)),
            }
        )
    for number in range(1, 31):
        at = dice.below(len(made["orders"])) + 1
        status = dice.pick(("OPEN", "PENDING", "RESOLVED", "CLOSED"))
        made["tickets"].append(
            {
                "subject": dice.pick(("Broken", "Late", "Wrong colour")),
                "status": status,
                "priority": dice.pick(("LOW", "NORMAL", "HIGH", "URGENT")),
                "resolved_at": moment(number) if status in ("RESOLVED", "CLOSED") else None,
                "assignee_id": key("users", dice.pick((11, 19, 5, None))),
                "customer_id": made["orders"][at - 1]["customer_id"],
                "order_id": key("orders", dice.maybe(at)),
                "contact_id": None,
            }
        )


SAME_IDS = {"audit_entries": "events"}
"""An audit entry has its event's id."""

CHANGED: Row = {"kind_version": 1, "changed": ["status"]}


def _trail(made: dict[str, list[Row]], dice: Dice) -> None:
    for number in range(1, 17):
        said: Row = {
            "subject_id": key(*SUBJECTS.get(number, ("orders", number))),
            "subject_type": SUBJECT_TYPES[SUBJECTS.get(number, ("orders", number))[0]],
            "occurred_at": moment(number),
            "actor_id": key("users", dice.maybe(5)),
            "customer_id": key("customers", dice.maybe(dice.below(18) + 1)),
        }
        kind = dice.pick(("order.confirmed", "order.created"))
        made["events"].append(said | CHANGED | {"kind": kind, "kept": '{"a": 1}'})
        made["erasures"].append({"actor_id": said["actor_id"], "reason": "By letter", "erased_at": moment(number)})
        made["audit_entries"].append(said | {"action": "order.update", "kept": '{"status": ["A", "B"]}'})


def _trail_of_everything(made: dict[str, list[Row]]) -> None:
    """What happened to records of every type, and to what is no type of its own."""
    for kind, table in TABLE_OF.items():
        if kind in ("Event", "AuditEntry"):
            continue
        # Events of providers are seen as their accounts are, and as money in suspense is.
        alike = kind in OPEN_TO_ALL or kind in (*SEEN_AS_PAYMENTS, *BANK, "SuspenseReceipt", "ProviderEvent")
        some = {1} if alike else {1, len(made[table]) // 2 + 1}  # all in all a page of 100
        for number in sorted(some):
            _told(made, kind, key(table, number), len(made["events"]))
    _told(made, "import", key("jobs", 1), len(made["events"]))


def _told(made: dict[str, list[Row]], kind: str, id: UUID, number: int) -> None:
    said: Row = {
        "subject_id": id,
        "subject_type": kind,
        "occurred_at": moment(number),
        "actor_id": key("users", 1),
        "customer_id": None,
    }
    happened = f"{kind[0].lower()}{kind[1:]}.changed"
    made["events"].append(said | CHANGED | {"kind": happened, "kept": '{"b": 2}'})
    made["audit_entries"].append(said | {"action": happened, "kept": '{"email": [null, "a secret"]}'})
