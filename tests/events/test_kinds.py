"""The registry: names, payloads, the page written from it, and that all of it is used."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from crmgql.engine import declare
from crmgql.events import declarations, kinds, reference
from crmgql.events.declarations import Kind, NotDeclared
from crmgql.models.names import PREFIXES
from crmgql.schema import build  # noqa: F401 - declares

ROOT = Path(__file__).resolve().parents[2]
ID = UUID("01931a3d-0000-7000-8000-000000000001")


def test_the_page_is_current() -> None:
    assert (ROOT / "docs/reference/events.md").read_text("utf-8") == reference.page()


def test_prefixes_are_those_of_the_api() -> None:
    assert {name: node.prefix for name, node in declare.DECLARED.items()} == PREFIXES


def test_every_kind_is_recorded_by_something() -> None:
    """Its name stands in the code beside the registry, whole or as what follows the noun of a pool's kind."""
    code = "\n".join(
        path.read_text("utf-8")
        for path in (ROOT / "crmgql").rglob("*.py")
        if "events/kinds" not in path.as_posix() and path.name != "reference.py"
    )
    code += "\n".join(path.read_text("utf-8") for path in (ROOT / "crmgql/migrations").glob("*.sql"))
    endings = set(re.findall(r'f"\{kind\.noun\}\.(\w+)"', code))
    unused = {
        name
        for name in kinds.KINDS
        if f'"{name}"' not in code and f"'{name}'" not in code and name.partition(".")[2] not in endings
    }
    assert unused <= {"email.sent", "email.failed"}


def test_nothing_else_writes_these_tables() -> None:
    writers = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "crmgql").rglob("*.py")
        if re.search(r'INTO (events|audit_entries)\b|to_table\("(events|audit_entries)"', path.read_text("utf-8"))
    }
    assert writers == {"crmgql/events/outbox.py"}


@pytest.mark.parametrize(
    ("name", "payload", "said"),
    [
        ("order.created", {"version": 1, "total": 3}, "total"),
        ("order.created", {}, "version"),
        ("order.linesSet", {"version": 1, "lines": "many"}, "lines"),
        (
            "lead.merged",
            {"version": 1, "from": "NEW", "to": "MERGED", "into": "cus_1", "tasks": 0, "emails": 0},
            "into",
        ),
        ("payment.received", {"version": 1, "amount": {"amount": "1,50", "currency": "EUR"}}, "amount.amount"),
        ("payment.received", {"version": 1, "amount": {"amount": "1.50", "currency": "euro"}}, "amount.currency"),
    ],
)
def test_a_payload_that_is_not_declared_is_refused(name: str, payload: dict[str, object], said: str) -> None:
    with pytest.raises(NotDeclared, match=said):
        kinds.find(name).check(payload)


def test_what_a_payload_says() -> None:
    absorbed = kinds.find("lead.absorbed")
    assert absorbed.check({"version": 2, "merged": ID}) == {"version": 2, "merged": f"led_{ID.hex}"}
    received = kinds.find("payment.received").check({"version": 1, "amount": (Decimal("1E+3"), "JPY")})
    assert received["amount"] == {"amount": "1000", "currency": "JPY"}
    assert kinds.find("lead.converted").check(
        {"version": 1, "from": "NEW", "to": "CONVERTED", "customer_id": ID, "contact_id": None}
    ) == {"version": 1, "from": "NEW", "to": "CONVERTED", "customerId": f"cus_{ID.hex}"}


def test_what_was_written_can_be_checked_again() -> None:
    for name, payload in (("lead.absorbed", {"version": 2, "merged": ID}), ("pool.released", {"leadId": ID})):
        kind = kinds.find(name)
        once = kind.check(payload)
        assert kind.check(once) == once


@pytest.mark.parametrize("name", ["Order.created", "order", "order.Created", "order created", "order.line.set"])
def test_names_look_alike(name: str) -> None:
    with pytest.raises(NotDeclared):
        Kind(name, "Order", "Something.")


def test_each_kind_says_what_happened_in_a_sentence() -> None:
    for kind in kinds.KINDS.values():
        assert re.fullmatch(r"[A-Z].+\.", kind.doc), kind.name
        assert kind.subject in PREFIXES or kind.subject in declarations.INTERNAL
