"""Bank statements in CSV: each bank's own way to write, declared once; a file is taken whole or refused with its place."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.money.bank import csv_statements, layouts, lines
from crmgql.errors import BadUserInput

IBAN = "DE75512108001245126199"
GERMAN = {
    "account": "DE75 5121 0800 1245 1261 99",
    "currency": "EUR",
    "csv": {"encoding": "cp1252", "delimiter": ";", "head": 3, "foot": 1},
    "formats": {"date": ["%d.%m.%Y", "%d.%m.%y"], "decimal": ",", "thousands": "."},
    "columns": {
        "booked_on": "Buchungstag",
        "value_on": "Valuta",
        "amount": "Betrag",
        "balance": "Saldo",
        "name": "Empfänger",
        "counterparty": "IBAN",
        "references": ["Verwendungszweck", "Kundenreferenz"],
    },
}
GERMAN_FILE = """Kontoauszug;;;
Zeitraum;01.03.2026;31.03.2026;

Buchungstag;Valuta;Empfänger;IBAN;Verwendungszweck;Kundenreferenz;Betrag;Saldo;
04.03.26;05.03.2026;Müller & Söhne;DE02 1203 0000 0000 2020 51;"Rechnung ""7""
zweite Zeile";NONREF;1.250,00;2.219,50;
03.03.2026;;Vermieter;;Miete;;-30,50;969,50;
Saldo alt;;;;;;;1.000,00;
""".replace("\n", "\r\n")


def layout(**changes: Any) -> layouts.Layout:
    """A plain layout, with changes."""
    columns = {"booked_on": "day", "amount": "amount", **changes.pop("columns", {})}
    table = {"account": IBAN, "currency": "EUR", **changes}
    return layouts.layout({**table, "columns": {key: value for key, value in columns.items() if value}})


def amounts(text: str, **changes: Any) -> list[Decimal]:
    return [line.amount for each in csv_statements.read(text.encode(), layout(**changes)) for line in each.lines]


def test_a_german_banks_file() -> None:
    (read,) = csv_statements.read(GERMAN_FILE.encode("cp1252"), layouts.layout(GERMAN))
    older, newer = read.lines
    assert (older.amount, older.name, older.value_on) == (Decimal("-30.50"), "Vermieter", None)
    assert (newer.amount, newer.booked_on, newer.value_on) == (Decimal("1250.00"), date(2026, 3, 4), date(2026, 3, 5))
    assert (newer.name, newer.counterparty) == ("Müller & Söhne", "DE02120300000000202051")
    assert newer.references == ('Rechnung "7" zweite Zeile',)
    assert (read.account, read.checked, newer.place) == (IBAN, True, "line 5")
    assert read.opening == lines.Balance(Decimal("1000.00"), date(2026, 3, 3))
    assert read.closing == lines.Balance(Decimal("2219.50"), date(2026, 3, 4))


def test_a_chinese_banks_file_of_two_accounts_and_currencies() -> None:
    columns = {
        "booked_on": "交易日期",
        "amount": "",
        "credit": "收入",
        "debit": "支出",
        "account": "账号",
        "currency": "币种",
        "name": "对方户名",
        "bank_id": "流水号",
    }
    table = {"csv": {"encoding": "gb18030"}, "formats": {"date": "%Y%m%d", "thousands": ","}}
    text = """账号,币种,交易日期,收入,支出,对方户名,流水号
6222 0001,CNY,20260302,"1,000.00",,北京某某科技有限公司,A1
6222 0001,CNY,20260303,,8.5,手续费,A2
6222 0002,USD,20260303,7.00,0.00,Northwind,A3
"""
    found = csv_statements.read(text.encode("gb18030"), layout(account="", currency="", columns=columns, **table))
    assert [(each.account, each.currency, [line.amount for line in each.lines]) for each in found] == [
        ("62220001", "CNY", [Decimal("1000.00"), Decimal("-8.50")]),
        ("62220002", "USD", [Decimal("7.00")]),
    ]
    assert found[0].lines[0].name == "北京某某科技有限公司"
    assert not found[0].checked, "there is no balance in it"


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ("5", "5.00"),
        ("+5.10", "5.10"),
        ("-5.1", "-5.10"),
        ("5.10-", "-5.10"),
        ("5.10 -", "-5.10"),
        ("\u22125.10", "-5.10"),
    ],
)
def test_a_sign_stands_before_or_behind(cell: str, amount: str) -> None:
    assert amounts(f"day,amount\n2026-03-02,{cell}\n") == [Decimal(amount)]


def test_a_direction_gives_the_sign() -> None:
    signs = {"credit": ["H", "CR"], "debit": "S"}
    text = "day,amount,side\n2026-03-02,5.00,H\n2026-03-02,3.00,S\n2026-03-02,1.00,CR\n"
    expected = [Decimal("5.00"), Decimal("-3.00"), Decimal("1.00")]
    assert amounts(text, columns={"direction": "side"}, signs=signs) == expected


def test_debits_may_have_a_minus_of_their_own() -> None:
    text = "day,in,out\n2026-03-02,5.00,\n2026-03-02,,-3.00\n"
    columns = {"amount": "", "credit": "in", "debit": "out"}
    assert amounts(text, columns=columns, signs={"debits_are": "negative"}) == [Decimal("5.00"), Decimal("-3.00")]
    with pytest.raises(lines.BankFileInvalid, match=r"Line 3, out: .* has a sign"):
        amounts(text, columns=columns)


def test_pending_lines_and_zeros_are_counted_and_left_out() -> None:
    text = "day,amount,state\n2026-03-02,5.00,booked\n2026-03-02,9.00,pending\n2026-03-02,0.00,booked\n"
    (read,) = csv_statements.read(text.encode(), layout(columns={"status": "state"}, booked=["booked"]))
    assert ([line.amount for line in read.lines], read.skipped) == ([Decimal("5.00")], 2)


@pytest.mark.parametrize("newest_first", [False, True])
def test_running_balances_are_followed_in_either_order(newest_first: bool) -> None:
    rows = ["2026-03-02,5.00,105.00", "2026-03-02,-7.00,", "2026-03-03,1.00,99.00"]
    text = "\n".join(["day,amount,balance", *(reversed(rows) if newest_first else rows)])
    (read,) = csv_statements.read(text.encode(), layout(columns={"balance": "balance"}))
    assert [line.amount for line in read.lines] == [Decimal("5.00"), Decimal("-7.00"), Decimal("1.00")]
    assert read.opening is not None
    assert read.closing is not None
    assert (read.opening.amount, read.closing.amount) == (Decimal("100.00"), Decimal("99.00"))


def test_the_days_decide_where_balances_fit_in_both_orders() -> None:
    text = "day,amount,balance\n2026-03-03,-5.00,100.00\n2026-03-02,5.00,105.00\n"
    (read,) = csv_statements.read(text.encode(), layout(columns={"balance": "balance"}))
    assert read.closing == lines.Balance(Decimal("100.00"), date(2026, 3, 3))


def test_a_line_that_is_missing_breaks_the_balances() -> None:
    text = "day,amount,balance\n2026-03-02,5.00,105.00\n2026-03-03,1.00,99.00\n2026-03-04,1.00,100.00\n"
    with pytest.raises(lines.BankFileUnbalanced, match="Line 3"):
        csv_statements.read(text.encode(), layout(columns={"balance": "balance"}))


def test_a_month_without_movements_is_no_mistake() -> None:
    assert csv_statements.read(b"day,amount\n", layout()) == []


class TestKeys:
    def keys(self, *rows: str, **columns: str) -> list[str]:
        text = "\n".join(["day,amount,text,id", *rows])
        (read,) = csv_statements.read(text.encode(), layout(columns={"references": "text", **columns}))
        return [line.key for line in read.lines]

    def test_an_export_of_a_longer_time_has_the_same_lines(self) -> None:
        day = ["2026-03-02,5.00,a,1", "2026-03-02,5.00,a,2", "2026-03-02,5.00,b,3"]
        shorter, longer = self.keys(*day), self.keys("2026-03-01,5.00,a,0", *day, "2026-03-03,5.00,a,4")
        assert len(set(longer)) == 5
        assert set(shorter) < set(longer)

    def test_with_the_banks_id_a_text_may_change(self) -> None:
        before, after = "2026-03-02,5.00,a,1", "2026-03-02,5.00,a completed,1"
        assert self.keys(before) != self.keys(after)
        assert self.keys(before, bank_id="id") == self.keys(after, bank_id="id")


GOOD = "day,amount,name\n2026-03-02,5.00,A\n2026-03-03,6.00,B\n"
MISTAKES = {
    "a date that is none": ("2026-03-03", "2026-02-30", "Line 3, day: '2026-02-30' is not a date"),
    "no date": ("2026-03-03", "", "Line 3, day: '' is not a date"),
    "no number": ("6.00", "six", "Line 3, amount: 'six' is not a number"),
    "no amount": ("6.00", "", "Line 3, amount"),
    "a comma for a point": ("6.00", '"6,00"', "Line 3, amount"),
    "more decimals than euros have": ("6.00", "6.001", "too many decimals"),
    "too large": ("6.00", "1000000000000000", "too large"),
    "a cell too few": ("6.00,B", "6.00", "Line 3: It has 2 cells"),
    "an open quote": ("6.00,B", '6.00,"B', "Line 3: This is not well-formed CSV"),
    "a column renamed": ("day,", "date,", "Line 1: columns.booked_on is 'day', and no columns"),
    "a column twice": ("name", "amount", "columns.amount is 'amount', and 2 columns"),
    "nothing": (r"(?s).+", "", "no line with the names"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_its_place(mistake: str) -> None:
    pattern, instead, message = MISTAKES[mistake]
    with pytest.raises(lines.BankFileInvalid, match=message) as refused:
        csv_statements.read(re.sub(pattern, instead, GOOD, count=1).encode(), layout())
    assert refused.value.code == "BANK_FILE_INVALID"


def test_another_encoding_is_refused_with_its_line() -> None:
    with pytest.raises(lines.BankFileInvalid, match="Line 3: This is not utf-8"):
        csv_statements.read("day,amount\n2026-03-02,5.00\n2026-03-02,ü".encode("cp1252"), layout())


def test_an_encoding_that_fails_in_its_own_way_is_refused_too() -> None:
    with pytest.raises(lines.BankFileInvalid, match="not punycode"):
        csv_statements.read(GOOD.encode(), layout(csv={"encoding": "punycode"}))


def test_too_many_lines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_LINES", 2)
    with pytest.raises(lines.BankFileTooLarge):
        csv_statements.read(GOOD.encode(), layout())


@given(st.binary(max_size=80), st.integers(0, len(GOOD)), st.integers(0, 20))
def test_whatever_is_in_a_file_it_is_read_or_refused(garbage: bytes, at: int, gone: int) -> None:
    content = GOOD.encode()
    with suppress(lines.BankFileInvalid):
        csv_statements.read(content[:at] + garbage + content[at + gone :], layout())


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"colums": {}}, "layout.colums", "no such key"),
        ({"account": ""}, "layout", "give the account"),
        ({"currency": "euro"}, "layout.currency", "not a currency code"),
        ({"columns": {"amount": ""}}, "layout.columns", "either amount, or credit and debit"),
        ({"columns": {"credit": "in"}}, "layout.columns", "either amount, or credit and debit"),
        ({"columns": {"credit": "in", "debit": "out"}}, "layout.columns", "either amount, or credit and debit"),
        ({"columns": {"direction": "side"}}, "layout", "signs.credit and signs.debit"),
        ({"columns": {"status": "state"}}, "layout", "booked has the words"),
        ({"csv": {"encoding": "klingon"}}, "layout.csv.encoding", "no text encoding"),
        ({"csv": {"delimiter": ";;"}}, "layout.csv.delimiter", "at most 1 character"),
        ({"formats": {"date": "%d.%m."}}, "layout.formats.date", "whole date"),
        ({"formats": {"decimal": ",", "thousands": ","}}, "layout.formats", "must differ"),
    ],
)
def test_a_layout_that_can_not_work_is_refused_with_its_key(changes: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(BadUserInput, match=f"(?i){message}") as refused:
        layout(**changes)
    assert refused.value.field == path
