"""Puts a document on paper. Pure.

Enters: an `Invoice` or an `Account`, a locale, the moment of making. Leaves: the PDF's bytes, equal for equal input, and
what the font could not write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from crmgql.domain.money.pdf import tables, words, wrapping
from crmgql.domain.money.pdf.documents import Account, Document, Invoice, Issuer, ItemLine, Recipient, Tax
from crmgql.domain.money.pdf.paper import BOTTOM, HEIGHT, MARGIN, RIGHT, Paper
from crmgql.domain.money.pdf.tables import Column
from crmgql.domain.money.pdf.words import Words

LINE = 4.6
MIDDLE = 112.0
TOTALS = 105.0
FOOTER = HEIGHT - 22
MOST_ADDRESS, MOST_FOOTER = 20, 4
"""Lines."""

Facts = Iterable[tuple[str, str]]
"""Labels and values; those without a value are left out."""


@dataclass(frozen=True, slots=True)
class Printed:
    """`missing`: characters of the document for which the font has no glyph, so that a box or a bare letter stands there."""

    content: bytes
    pages: int
    missing: str = ""


def print_document(document: Document, *, locale: str, made_at: datetime) -> Printed:
    """The document in English or, for a Chinese locale, in Chinese. `made_at` is written into the file."""
    say = words.of(locale)
    sheet = _Sheet(document, say, made_at)
    if isinstance(document, Invoice):
        _invoice(sheet, document)
    else:
        _account(sheet, document)
    content = sheet.paper.content(sheet.margin)
    return Printed(content, sheet.paper.pages, "".join(sorted(sheet.paper.missing)))


class _Sheet:
    """The paper of a document, with what all documents have."""

    def __init__(self, document: Document, say: Words, made_at: datetime) -> None:
        if isinstance(document, Invoice):
            self.title = f"{say(document.kind.lower())} {document.number}"
        else:
            self.title = f"{say('statement')} {document.recipient.name}"
        self.document, self.say = document, say
        issuer = document.issuer
        self.paper = Paper(
            title=self.title, author=issuer.name, language=str(say.locale).replace("_", "-"), made_at=made_at
        )

    def line(self, text: str, x: float = MARGIN, *, size: float = 9, bold: bool = False, grey: bool = False) -> None:
        """A text at the paper's `y`, wrapped at the right margin, on the next page where this one ends."""
        paper = self.paper
        for part in wrapping.wrap(paper.printable(text), RIGHT - x, lambda each: paper.width(each, size)):
            if paper.y + LINE > BOTTOM:
                paper.turn()
            paper.y += LINE * max(1, size / 10)
            paper.write(part, x, paper.y, size=size, bold=bold, grey=grey)

    def keep(self, lines: float) -> None:
        """Turns the page unless it has room for so many lines."""
        if self.paper.y + lines * LINE > BOTTOM:
            self.paper.turn()

    def head(self, facts: Facts) -> None:
        """The issuer, the title, the recipient on the left and the facts on the right."""
        paper, issuer, recipient = self.paper, self.document.issuer, self.document.recipient
        self.line(issuer.name, size=12, bold=True)
        for text in issuer.address:
            self.line(text, grey=True)
        paper.y += 2 * LINE
        top = paper.y
        self._block([recipient.name, *recipient.address], MARGIN, MIDDLE - MARGIN - 6)
        left, paper.y = paper.y, top
        for label, value in facts:
            if value:
                self._fact(label, value)
        paper.y = max(left, paper.y) + 2 * LINE
        self.line(self.title, size=16, bold=True)
        paper.y += LINE

    def _block(self, texts: Sequence[str], x: float, width: float) -> None:
        """Texts below one another. No address has as many lines as would run into what comes next."""
        lines = wrapping.wrap(self.paper.printable("\n".join(texts)), width, lambda each: self.paper.width(each, 10))
        for part in lines[:MOST_ADDRESS]:
            self.paper.y += LINE
            self.paper.write(part, x, self.paper.y, size=10)

    def _fact(self, label: str, value: str) -> None:
        self.paper.write(label, MIDDLE, self.paper.y + LINE, grey=True)
        x = MIDDLE + 30
        for part in wrapping.wrap(self.paper.printable(value), RIGHT - x, lambda each: self.paper.width(each, 9)):
            self.paper.y += LINE
            self.paper.write(part, x, self.paper.y)

    def margin(self, paper: Paper, n: int, all: int) -> None:
        """The issuer's particulars below, the page's number; above, from the second page on, what it belongs to."""
        if n > 1:
            title = wrapping.wrap(paper.printable(self.title), RIGHT - MARGIN, lambda each: paper.width(each, 8))
            paper.write(title[0], RIGHT, MARGIN - 6, size=8, align="right", grey=True)
        text = paper.printable("\n".join(_particulars(self.document.issuer, self.say)))
        parts = wrapping.wrap(text, RIGHT - MARGIN - 32, lambda each: paper.width(each, 7))
        paper.rule(MARGIN, RIGHT, FOOTER)
        for below, part in enumerate(parts[:MOST_FOOTER], 1):
            paper.write(part, MARGIN, FOOTER + 3.6 * below, size=7, grey=True)
        paper.write(self.say("page", n=n, all=all), RIGHT, FOOTER + 3.6, size=7, align="right", grey=True)


def _particulars(issuer: Issuer, say: Words) -> list[str]:
    """The footer's lines: who it is, how to reach it, where to pay."""

    def labelled(*facts: tuple[str, str]) -> str:
        return " · ".join(f"{say(label)} {value}" if label else value for label, value in facts if value)

    found = [
        labelled(("", issuer.name), ("tax_id", issuer.tax_id), ("registration", issuer.registration)),
        labelled(("", issuer.email), ("", issuer.phone), ("", issuer.website)),
        labelled(("bank", issuer.bank), ("account", issuer.account), ("bank_code", issuer.bank_code)),
    ]
    return [text for text in found if text]


def _recipients(recipient: Recipient, say: Words) -> Facts:
    return [(say("customer_number"), recipient.number), (say("customer_tax_id"), recipient.tax_id)]


def _invoice(sheet: _Sheet, invoice: Invoice) -> None:
    say = sheet.say
    due_on = invoice.instalments[0].due_on if len(invoice.instalments) == 1 else None
    sheet.head(
        [
            (say("number"), invoice.number),
            (say("issued_on"), say.day(invoice.issued_on)),
            (say("due_on"), say.day(due_on) if due_on else ""),
            (say("corrects"), invoice.corrects),
            (say("order"), invoice.order),
            (say("reference"), invoice.reference),
            (say("delivered_on"), say.day(invoice.delivered_on) if invoice.delivered_on else ""),
            *_recipients(invoice.recipient, say),
        ]
    )
    _lines(sheet, invoice)
    _totals(sheet, invoice)
    if len(invoice.instalments) > 1:
        _instalments(sheet, invoice)
    if invoice.kind == "INVOICE":
        sheet.line(say("quote", number=invoice.number))
        sheet.paper.y += LINE
    _notes(sheet, invoice.notes)


def _lines(sheet: _Sheet, invoice: Invoice) -> None:
    """The positions. Columns that no line uses are left out."""
    say, currency = sheet.say, invoice.currency
    discounted = any(line.discount for line in invoice.lines)
    taxed = any(line.tax_rate is not None for line in invoice.lines)
    columns = [
        Column(say("position")),
        Column(say("description"), "left", fills=True),
        Column(say("quantity")),
        Column(say("unit_price")),
        *([Column(say("line_discount"))] if discounted else []),
        *([Column(say("tax_rate"))] if taxed else []),
        Column(f"{say('amount')} {currency}"),
    ]

    def cells(n: int, line: ItemLine) -> list[str]:
        rate = "" if line.tax_rate is None else say.percent(line.tax_rate)
        return [
            str(n),
            "\n".join(filter(None, (line.description, line.details))),
            f"{say.number(line.quantity)} {line.unit}".rstrip(),
            say.price(line.unit_price, currency),
            *([say.amount(-line.discount, currency) if line.discount else ""] if discounted else []),
            *([rate] if taxed else []),
            say.amount(line.amount, currency),
        ]

    tables.draw(sheet.paper, columns, [cells(n, line) for n, line in enumerate(invoice.lines, 1)])


def _totals(sheet: _Sheet, invoice: Invoice) -> None:
    say, currency = sheet.say, invoice.currency

    def shown(tax: Tax) -> str:
        name = tax.name or say("tax")
        rate = tax.rate
        return (
            name
            if rate is None
            else say("tax_of", name=name, rate=say.percent(rate), net=say.amount(tax.net, currency))
        )

    final = "credited" if invoice.kind == "CREDIT_NOTE" else "total"
    rows = [
        (say("subtotal"), invoice.subtotal),
        *([(say("discount"), -invoice.discount)] if invoice.discount else []),
        *([(say("shipping"), invoice.shipping)] if invoice.shipping else []),
        *((shown(tax), tax.amount) for tax in invoice.taxes),
        (say(final), invoice.total),
        *([(say("paid"), -invoice.paid), (say("to_pay"), invoice.total - invoice.paid)] if invoice.paid else []),
    ]
    strong = {say(final), say("to_pay")}
    sheet.keep(len(rows) + 2)
    for label, amount in rows:
        bold = label in strong
        figure = f"{currency} {say.amount(amount, currency)}" if bold else say.amount(amount, currency)
        _total(sheet.paper, sheet.paper.printable(label), sheet.paper.printable(figure), bold=bold)
    sheet.paper.y += 2 * LINE


def _total(paper: Paper, label: str, figure: str, *, bold: bool) -> None:
    room = RIGHT - TOTALS - paper.width(figure, 9) - 4
    if bold:
        paper.rule(TOTALS, RIGHT, paper.y + LINE * 0.25, thick=True)
    for n, part in enumerate(wrapping.wrap(label, room, lambda each: paper.width(each, 9))):
        paper.y += LINE * 1.1
        paper.write(part, TOTALS, paper.y, bold=bold)
        if n == 0:
            paper.write(figure, RIGHT, paper.y, align="right", bold=bold)


def _instalments(sheet: _Sheet, invoice: Invoice) -> None:
    say, currency = sheet.say, invoice.currency
    sheet.keep(5)
    sheet.line(say("instalments"), bold=True)
    sheet.paper.y += LINE / 2
    tables.draw(
        sheet.paper,
        [
            Column(say("due_on"), "left", fills=True),
            Column(f"{say('amount')} {currency}"),
            Column(f"{say('open')} {currency}"),
        ],
        [
            [say.day(part.due_on), say.amount(part.amount, currency), say.amount(part.open, currency)]
            for part in invoice.instalments
        ],
    )


def _account(sheet: _Sheet, account: Account) -> None:
    say, currency = sheet.say, account.currency
    period = say("period_of", first=say.day(account.first_day), last=say.day(account.last_day))
    sheet.head([(say("period"), period), (say("currency"), currency), *_recipients(account.recipient, say)])
    moved = (entry.debit - entry.credit for entry in account.entries)
    balances = list(accumulate(moved, initial=account.opening))

    def figure(value: object, shown: str) -> str:
        return shown if value else ""

    entries = [
        [
            say.day(entry.on),
            entry.text,
            entry.reference,
            say.day(entry.due_on) if entry.due_on else "",
            figure(entry.debit, say.amount(entry.debit, currency)),
            figure(entry.credit, say.amount(entry.credit, currency)),
            say.amount(balance, currency),
        ]
        for entry, balance in zip(account.entries, balances[1:], strict=True)
    ]
    tables.draw(
        sheet.paper,
        [
            Column(say("on"), "left"),
            Column(say("text"), "left", fills=True),
            Column(say("number"), "left"),
            Column(say("due_on"), "left"),
            Column(say("debit")),
            Column(say("credit")),
            Column(f"{say('balance')} {currency}"),
        ],
        [
            [say.day(account.first_day), say("opening"), "", "", "", "", say.amount(account.opening, currency)],
            *entries,
            [say.day(account.last_day), say("closing"), "", "", "", "", say.amount(balances[-1], currency)],
        ],
        last_bold=True,
    )
    _ageing(sheet, account)
    _notes(sheet, account.notes)


def _ageing(sheet: _Sheet, account: Account) -> None:
    if (ageing := account.ageing) is None:
        return
    say = sheet.say
    parts = [
        (say("not_due"), ageing.not_due),
        ("1–30", ageing.days_1_30),
        ("31–60", ageing.days_31_60),
        ("61–90", ageing.days_61_90),
        (say("days_over_90"), ageing.days_over_90),
    ]
    sheet.keep(5)
    sheet.line(say("ageing"), bold=True)
    sheet.paper.y += LINE / 2
    columns = [Column(account.currency, "left", fills=True), *(Column(label) for label, _ in parts)]
    tables.draw(sheet.paper, columns, [["", *(say.amount(amount, account.currency) for _, amount in parts)]])


def _notes(sheet: _Sheet, notes: str) -> None:
    if notes:
        sheet.line(notes)
