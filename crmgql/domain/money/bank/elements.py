"""Elements of a bank's XML: texts, amounts and days by path. What is no such value is refused by its place. Pure."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from crmgql.domain.money.bank import lines
from crmgql.domain.money.bank.lines import BankFileInvalid
from crmgql.records.numbers import short

AMOUNT = re.compile(r"\+?[0-9]{1,18}(?:\.[0-9]{1,5})?")


@cache
def _path(path: str) -> str:
    """The path in whatever namespace: each version has its own."""
    return "/".join(f"{{*}}{name}" for name in path.split("/"))


def every(element: Any, path: str) -> list[Any]:
    return element.findall(_path(path))  # type: ignore[no-any-return]


def has(element: Any, path: str) -> bool:
    return element.find(_path(path)) is not None


def text(element: Any, *paths: str) -> str:
    """The text of the first path that has one, else ""."""
    for path in paths:
        if found := (element.findtext(_path(path)) or "").strip():
            return found
    return ""


def name(element: Any) -> str:
    return element.tag.rpartition("}")[2]  # type: ignore[no-any-return]


def namespace(element: Any) -> str:
    """As written: `etree.QName` raises for one with a brace in it."""
    return element.tag.rpartition("}")[0][1:]  # type: ignore[no-any-return]


def invalid(element: Any, path: str, message: str) -> BankFileInvalid:
    found = element.find(_path(path)) if path else None
    at = element if found is None else found
    return BankFileInvalid(message, line=at.sourceline, element=f"{name(element)}/{path}" if path else name(element))


def money(element: Any, path: str = "Amt") -> tuple[str, Decimal]:
    """Currency and amount, which XML writes without a sign."""
    found = element.find(_path(path))
    if found is None:
        raise invalid(element, path, "The amount is missing.")
    written = (found.text or "").strip()
    try:
        currency = lines.currency_code(found.get("Ccy", ""))
        if not AMOUNT.fullmatch(written):
            raise ValueError(f"{short(written)} is not an amount such as 12.30")
        return currency, lines.amount(Decimal(written), currency)
    except ValueError as error:
        raise invalid(element, path, f"{error}.") from None


def signed(element: Any, amount: Decimal) -> Decimal:
    """The amount, negative where the element says debit."""
    match text(element, "CdtDbtInd"):
        case "CRDT":
            return amount
        case "DBIT":
            return -amount
        case other:
            raise invalid(element, "CdtDbtInd", f"It must be CRDT or DBIT, not {short(other)}.")


def day(element: Any, *paths: str) -> date:
    """The day of the first path that is there, as the bank writes it: a time of its zone is not moved to another's day."""
    for path in paths:
        if has(element, path):
            written = text(element, f"{path}/Dt", f"{path}/DtTm")
            try:
                return date.fromisoformat(written[:10])
            except ValueError:
                raise invalid(element, path, f"{short(written)} is not a day such as 2026-03-01.") from None
    raise invalid(element, paths[0], "The day is missing.")


def account(element: Any, path: str) -> str:
    return lines.account_number(text(element, f"{path}/Id/IBAN", f"{path}/Id/Othr/Id"))
