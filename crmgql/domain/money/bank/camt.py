"""camt.053, the statement of ISO 20022, in its versions 001.02 to 001.13. Pure.

Enters: a file's bytes. Leaves: statements, one for each account, page and currency in it, or a `BankFileInvalid` that says
line and element. Entities, DTDs and the network are off; what was read of an entry is forgotten before the next one.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace
from decimal import Decimal
from io import BytesIO
from typing import Any

from lxml import etree

from crmgql.domain.money.bank import elements, lines
from crmgql.domain.money.bank.elements import every, text
from crmgql.domain.money.bank.lines import Balance, BankFileInvalid, Line, Statement
from crmgql.records.numbers import short

NAMESPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.(?:0[2-9]|1[0-3])")
OPENING, CLOSING = ("OPBD", "PRCD", "ITBD"), ("CLBD", "ITBD")
"""Codes of booked balances, the best first. The pages of a long statement open and close with interim ones."""

BOOKED, NOT_BOOKED = "BOOK", frozenset({"PDNG", "INFO", "FUTR"})
READ = ("{*}Document", "{*}Stmt", "{*}Ntry")
SAFE = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "attribute_defaults": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}


def read(content: bytes) -> list[Statement]:
    """The statements in the file's order. Raises `BankFileInvalid`, `BankFileUnbalanced`, `BankFileTooLarge`."""
    lines.check_size(content)
    try:
        return _read(content)
    except etree.XMLSyntaxError as error:
        why = lines.clean(error.msg)
        raise BankFileInvalid(f"This is not well-formed XML: {why}.", line=error.lineno) from None


def _read(content: bytes) -> list[Statement]:
    found: list[Statement] = []
    reading = _Reading()
    namespace = None
    parsed = etree.iterparse(BytesIO(content), events=("start", "end"), tag=READ, **SAFE)
    for event, element in parsed:
        namespace = namespace or _namespace(element.getroottree().getroot())
        if event == "start" or elements.namespace(element) != namespace:
            continue
        if elements.name(element) == "Ntry" and elements.name(element.getparent()) == "Stmt":
            reading.entry(element)
            _forget(element)
        elif elements.name(element) == "Stmt":
            found += reading.statements(element)
            lines.check_count(sum(len(statement.lines) for statement in found))
            reading = _Reading()
            _forget(element)
    if not found:
        _namespace(parsed.root)
        raise BankFileInvalid("There is no statement in this file.", element="Stmt")
    return found


def _namespace(root: Any) -> str:
    """The file's namespace. Refuses DTDs, which no bank sends, and other kinds of files."""
    namespace = elements.namespace(root)
    if root.getroottree().docinfo.doctype:
        raise BankFileInvalid("A bank's file has no DOCTYPE.", line=root.sourceline)
    if not NAMESPACE.fullmatch(namespace):
        message = f"This is no camt.053 of version 001.02 to 001.13: its namespace is {short(namespace)}."
        raise BankFileInvalid(message, line=root.sourceline, element=elements.name(root))
    return namespace


def _forget(element: Any) -> None:
    """Frees the element and its likes before it: a whole tree takes many times its file."""
    parent = element.getparent()
    element.clear(keep_tail=False)
    while (before := element.getprevious()) is not None and before.tag == element.tag:
        parent.remove(before)


class _Reading:
    """A statement while it is read: what its entries came to, by currency."""

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()
        self.moved: defaultdict[str, list[Line]] = defaultdict(list)
        self.count = 0

    def entry(self, entry: Any) -> None:
        """Adds the lines of an entry, or counts it as skipped."""
        currency, amount = elements.money(entry)
        self.count += 1
        if not _is_booked(entry) or amount == 0:
            self.skipped[currency] += 1
            return
        whole = _line(entry, currency, elements.signed(entry, amount), f"Ntry {self.count}")
        moved = _parts(entry, whole) or [whole]
        self.moved[currency] += moved
        lines.check_count(self.count + len(self.moved[currency]))

    def statements(self, statement: Any) -> list[Statement]:
        """One for each currency that has a balance or an entry: an account may hold several."""
        id, page = lines.clean(text(statement, "Id")), lines.clean(text(statement, "StmtPgntn/PgNb"))
        account = elements.account(statement, "Acct")
        if not account:
            raise elements.invalid(statement, "Acct", "The account has neither an IBAN nor another number.")
        balances = _balances(statement)
        found = []
        for currency in dict.fromkeys([*balances, *self.moved, *self.skipped]):
            opening, closing = _ends(balances.get(currency, {}))
            moved = lines.keyed(
                (replace(line, account=account) for line in self.moved[currency]), origin=f"{id}/{page}"
            )
            read = Statement(id, account, currency, opening, closing, moved, self.skipped[currency])
            found.append(lines.check_balance(read))
        return found


def _balances(statement: Any) -> dict[str, dict[str, list[Balance]]]:
    """Booked balances by currency and code, in the file's order."""
    found: dict[str, dict[str, list[Balance]]] = {}
    for balance in every(statement, "Bal"):
        code = text(balance, "Tp/CdOrPrtry/Cd")
        if code in OPENING or code in CLOSING:
            currency, amount = elements.money(balance)
            read = Balance(elements.signed(balance, amount), elements.day(balance, "Dt"))
            found.setdefault(currency, {}).setdefault(code, []).append(read)
    return found


def _ends(balances: dict[str, list[Balance]]) -> tuple[Balance | None, Balance | None]:
    """The opening and the closing balance. One interim balance alone is taken for the opening one."""
    opening = next((balances[code][0] for code in OPENING if code in balances), None)
    closing = next((balances[code][-1] for code in CLOSING if code in balances), None)
    return opening, None if closing is opening else closing


def _is_booked(entry: Any) -> bool:
    """The status is the element's text in older versions, and below it in newer ones."""
    status = text(entry, "Sts", "Sts/Cd")
    if status != BOOKED and status not in NOT_BOOKED:
        raise elements.invalid(entry, "Sts", f"It must be BOOK, PDNG, INFO or FUTR, not {short(status)}.")
    return status == BOOKED


def _line(entry: Any, currency: str, amount: Decimal, place: str) -> Line:
    """The line of an entry as a whole, with the texts of all its parts. The account comes with the statement's end."""
    details = every(entry, "NtryDtls/TxDtls")
    texts = [each for part in details[: lines.MOST_TEXTS] for each in _texts(part)]
    line = Line(
        "",
        currency,
        elements.day(entry, "BookgDt", "ValDt"),
        elements.day(entry, "ValDt") if elements.has(entry, "ValDt") else None,
        amount,
        references=lines.references([*texts, text(entry, "AddtlNtryInf")]),
        bank_id=lines.reference(text(entry, "AcctSvcrRef")),
        kind=_kind(entry),
        reversal=text(entry, "RvslInd") in ("true", "1"),
        place=f"line {entry.sourceline}, {place}",
    )
    return _with_party(line, details[0]) if len(details) == 1 else line


def _parts(entry: Any, whole: Line) -> list[Line]:
    """A line for each payment of a batch, if their amounts add up to the entry. If not, say because the bank kept a fee,
    the entry is what moved, and stays one line."""
    details = every(entry, "NtryDtls/TxDtls")
    lines.check_count(len(details))
    found = []
    for n, part in enumerate(details if len(details) > 1 else [], 1):
        amount = _part_amount(part, whole)
        if amount is None:
            return []
        own = lines.reference(text(part, "Refs/AcctSvcrRef", "Refs/TxId"))
        line = replace(
            whole,
            amount=amount,
            references=lines.references(_texts(part)),
            bank_id="/".join(dict.fromkeys(id for id in (whole.bank_id, own) if id)),
            place=f"{whole.place}, TxDtls {n}",
        )
        found.append(_with_party(line, part))
    return [line for line in found if line.amount] if sum(line.amount for line in found) == whole.amount else []


def _part_amount(part: Any, whole: Line) -> Decimal | None:
    """The signed amount of a part; None if it has none in the entry's currency. Without a sign it has the entry's."""
    path = next((path for path in ("Amt", "AmtDtls/TxAmt/Amt") if elements.has(part, path)), None)
    if path is None:
        return None
    currency, amount = elements.money(part, path)
    if currency != whole.currency:
        return None
    if elements.has(part, "CdtDbtInd"):
        return elements.signed(part, amount)
    return amount.copy_sign(whole.amount)


def _with_party(line: Line, part: Any) -> Line:
    """The line with the other side: who paid what came in, who got what went out; of a reversal it is the other way."""
    side = "Dbtr" if (line.amount > 0) != line.reversal else "Cdtr"
    party = f"RltdPties/{side}"
    names = (f"{party}/Nm", f"{party}/Pty/Nm", f"{party}/Agt/FinInstnId/Nm")
    ultimate = (f"RltdPties/Ultmt{side}/Nm", f"RltdPties/Ultmt{side}/Pty/Nm")
    return replace(
        line,
        name=lines.clean(text(part, *names, *ultimate)),
        counterparty=elements.account(part, f"{party}Acct"),
        end_to_end_id=lines.reference(text(part, "Refs/EndToEndId")),
    )


def _texts(part: Any) -> list[str]:
    """What the payer wrote, structured references first."""
    remittance = "RmtInf/Strd/CdtrRefInf/Ref", "RmtInf/Strd/RfrdDocInf/Nb", "RmtInf/Ustrd", "RmtInf/Strd/AddtlRmtInf"
    found = [element.text or "" for path in remittance for element in every(part, path)[: lines.MOST_TEXTS]]
    return [*found, text(part, "AddtlTxInf")]


def _kind(entry: Any) -> str:
    """The bank's code for what happened, such as PMNT-RCDT-ESCT, or its own word."""
    domain = "BkTxCd/Domn"
    codes = [text(entry, f"{domain}/{path}") for path in ("Cd", "Fmly/Cd", "Fmly/SubFmlyCd")]
    return lines.clean("-".join(code for code in codes if code) or text(entry, "BkTxCd/Prtry/Cd"))
