"""camt.053: what a bank sends becomes lines, or is refused with its place; never half of it, never an XML error."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.money.bank import camt, lines
from tests.domain.money.statements import Entry, Part, balance, document, file, statement

PAID = Entry("250.00", [Part(structured="RF18539007547034", end_to_end="ORD-77")], bank_id="B-1")
SENT = Entry("-30.50", [Part(name="Landlord", texts=("Rent", "March"))])


@pytest.mark.parametrize("version", range(2, 14))
def test_every_version_is_read(version: int) -> None:
    (read,) = camt.read(file(PAID, SENT, version=version))
    assert (read.account, read.currency, read.checked) == ("DE75512108001245126199", "EUR", True)
    assert (read.opening, read.closing) == (
        lines.Balance(Decimal("100.00"), date(2026, 3, 1)),
        lines.Balance(Decimal("319.50"), date(2026, 3, 2)),
    )
    paid, sent = read.lines
    assert (paid.amount, paid.booked_on, paid.value_on) == (Decimal("250.00"), date(2026, 3, 2), date(2026, 3, 2))
    assert (paid.name, paid.counterparty) == ("Northwind Ltd", "DE02120300000000202051")
    assert (paid.references, paid.end_to_end_id) == (("RF18539007547034", "Invoice 2026-0007"), "ORD-77")
    assert (paid.bank_id, paid.kind, paid.account) == ("B-1", "PMNT-RCDT-ESCT", read.account)
    assert (sent.amount, sent.name, sent.references) == (Decimal("-30.50"), "Landlord", ("Rent", "March"))
    assert sent.end_to_end_id == "", "NOTPROVIDED is no id"


@pytest.mark.parametrize("version", [2, 8])
def test_a_batch_is_its_payments(version: int) -> None:
    parts = [Part("40.00", name="A"), Part("60.00", name="B", end_to_end="E2"), Part("5.00", name="C", sign="DBIT")]
    (read,) = camt.read(file(Entry("95.00", parts, bank_id="B-9"), version=version))
    assert [(line.amount, line.name) for line in read.lines] == [
        (Decimal("40.00"), "A"),
        (Decimal("60.00"), "B"),
        (Decimal("-5.00"), "C"),
    ]
    assert len({line.key for line in read.lines}) == 3


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([Part("40.00"), Part("60.00")], id="the bank kept a fee"),
        pytest.param([Part("45.00"), Part()], id="one without amount"),
        pytest.param([Part("45.00"), Part("50.00", currency="USD")], id="one in another currency"),
    ],
)
def test_a_batch_that_does_not_add_up_stays_one_line_with_all_texts(parts: list[Part]) -> None:
    parts[0].texts, parts[1].texts = ("Invoice 1",), ("Invoice 2",)
    (read,) = camt.read(file(Entry("95.00", parts)))
    (line,) = read.lines
    assert (line.amount, line.references) == (Decimal("95.00"), ("Invoice 1", "Invoice 2"))


def test_a_reversal_has_its_own_sign_and_the_other_side_of_what_it_takes_back() -> None:
    returned = Entry("-250.00", [Part(name="Northwind Ltd")], reversal=True)
    (read,) = camt.read(file(returned))
    (line,) = read.lines
    assert (line.amount, line.reversal, line.name) == (Decimal("-250.00"), True, "Northwind Ltd")


@pytest.mark.parametrize("version", [2, 8])
def test_what_is_not_booked_is_counted_and_left_out(version: int) -> None:
    waiting = [Entry("10.00", status=status) for status in ("PDNG", "INFO", "FUTR")]
    (read,) = camt.read(file(PAID, *waiting, Entry("0.00"), version=version))
    assert [line.amount for line in read.lines] == [Decimal("250.00")]
    assert read.skipped == 4


def test_several_statements_accounts_and_currencies_in_one_file() -> None:
    yen = statement(Entry("500", currency="JPY"), currency="JPY", opening="0", id="S2", iban="GB33BUKB20201555555555")
    dollars = statement(Entry("1.00", currency="USD"), currency="USD", opening="-3.00", id="S3")
    found = camt.read(document(statement(PAID), yen, dollars))
    assert [(each.account[:2], each.currency, each.lines[0].amount) for each in found] == [
        ("DE", "EUR", Decimal("250.00")),
        ("GB", "JPY", Decimal("500")),
        ("DE", "USD", Decimal("1.00")),
    ]
    assert found[2].closing == lines.Balance(Decimal("-2.00"), date(2026, 3, 2))


def test_one_account_of_two_currencies_is_two_statements_each_with_its_own_balances() -> None:
    both = statement(PAID, Entry("7.00", currency="USD"), closing="350.00").replace(
        "<Ntry>",
        balance("OPBD", "1.00", "2026-03-01", "USD") + balance("CLBD", "8.00", "2026-03-02", "USD") + "<Ntry>",
        1,
    )
    found = camt.read(document(both))
    assert [(each.currency, len(each.lines), each.checked) for each in found] == [("EUR", 1, True), ("USD", 1, True)]


def test_pages_open_and_close_with_interim_balances() -> None:
    page = statement(PAID).replace("OPBD", "ITBD").replace("CLBD", "ITBD")
    (read,) = camt.read(document(page))
    assert read.opening is not None
    assert read.closing is not None
    assert read.closing.amount - read.opening.amount == Decimal("250.00")


def test_one_interim_balance_alone_does_not_close_what_it_opens() -> None:
    page = re.sub(r"(?s)<Bal>((?!</Bal>).)*CLBD.*?</Bal>", "", statement(PAID)).replace("OPBD", "ITBD")
    (read,) = camt.read(document(page))
    assert (read.checked, read.closing) == (False, None)


def test_elements_of_the_banks_own_inside_an_entry_are_not_read() -> None:
    own = '<SplmtryData><Envlp><b:Ntry xmlns:b="urn:bank"><Amt>1</Amt></b:Ntry><Ntry><Amt>1</Amt></Ntry></Envlp></SplmtryData>'
    (read,) = camt.read(document(statement(PAID).replace("</Ntry>", f"</Ntry>{own}")))
    assert [line.amount for line in read.lines] == [Decimal("250.00")]


def test_a_statement_that_does_not_add_up_is_refused_and_says_what_is_missing() -> None:
    short = document(statement(PAID, closing="360.00"))
    with pytest.raises(lines.BankFileUnbalanced, match=r"10\.00 is missing") as refused:
        camt.read(short)
    assert refused.value.code == "BANK_FILE_UNBALANCED"


def test_without_a_closing_balance_nothing_is_checked_and_the_statement_says_so() -> None:
    open_ended = statement(PAID).replace("<Cd>CLBD</Cd>", "<Cd>CLAV</Cd>")
    (read,) = camt.read(document(open_ended))
    assert not read.checked
    assert read.closing is None


class TestKeys:
    def keys(self, *entries: Entry, id: str = "S1", version: int = 8) -> list[str]:
        (read,) = camt.read(document(statement(*entries, id=id, version=version), version=version))
        return [line.key for line in read.lines]

    def test_the_same_file_again_has_the_same_keys(self) -> None:
        assert self.keys(PAID, SENT) == self.keys(PAID, SENT)

    def test_the_order_of_entries_does_not_matter(self) -> None:
        assert set(self.keys(PAID, SENT)) == set(self.keys(SENT, PAID))

    def test_with_the_banks_id_a_line_is_known_in_another_statement_and_version(self) -> None:
        assert self.keys(PAID) == self.keys(PAID, id="S2", version=2)

    def test_without_it_equal_lines_of_two_statements_are_two(self) -> None:
        assert self.keys(SENT) != self.keys(SENT, id="S2")

    def test_equal_lines_of_one_statement_are_two_and_stay_two(self) -> None:
        twice = self.keys(SENT, SENT)
        assert len(set(twice)) == 2
        assert twice == self.keys(SENT, SENT)

    def test_a_reversal_under_the_same_id_is_another_line(self) -> None:
        back = Entry("-250.00", [Part()], reversal=True, bank_id="B-1")
        assert len(set(self.keys(PAID, back))) == 2


GOOD = file(PAID).decode()
MISTAKES = {
    "not XML": (r"(?s).+", "Account;Amount\\n1;2\\n", "XML"),
    "cut off": ("</Ntry>", "", "XML"),
    "another message": ("camt.053.001.08", "camt.052.001.08", "no camt.053"),
    "a namespace with a brace": ("camt.053.001.08", "camt.053.001.08}", "no camt.053"),
    "a version of tomorrow": ("camt.053.001.08", "camt.053.001.14", "no camt.053"),
    "an amount with a comma": ("250.00", "250,00", r"Line \d+, Ntry/Amt: '250,00' is not an amount"),
    "a signed amount": ("250.00", "-250.00", "Ntry/Amt"),
    "an exponent": ("250.00", "25E1", "Ntry/Amt"),
    "too many decimals": ("250.00", "250.001", "too many decimals: EUR has 2"),
    "too large": ("250.00", "1000000000000000.00", "too large"),
    "no currency": (' Ccy="EUR">250', ">250", "currency code"),
    "a wrong side": ("<CdtDbtInd>CRDT</CdtDbtInd>\n        <Sts>", "<CdtDbtInd>X</CdtDbtInd><Sts>", "CRDT or DBIT"),
    "no side": ("<CdtDbtInd>CRDT</CdtDbtInd>\n        <Sts>", "<Sts>", "CRDT or DBIT, not ''"),
    "an unknown status": ("<Cd>BOOK</Cd>", "<Cd>MAYBE</Cd>", "Ntry/Sts: It must be BOOK"),
    "no day": (r"<BookgDt>.*</ValDt>", "", "Ntry/BookgDt: The day is missing"),
    "a day that is none": ("<BookgDt><Dt>2026-03-02", "<BookgDt><Dt>2026-02-30", "'2026-02-30' is not a day"),
    "no account": (r"<Acct>.*</Acct>", "", "Stmt/Acct"),
    "no statement": (r"(?s)<Stmt>.*</Stmt>", "", "no statement"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_its_place(mistake: str) -> None:
    pattern, instead, message = MISTAKES[mistake]
    broken = re.sub(pattern, instead, GOOD)
    assert broken != GOOD
    with pytest.raises(lines.BankFileInvalid, match=message) as refused:
        camt.read(broken.encode())
    assert refused.value.code == "BANK_FILE_INVALID"


class TestHostileFiles:
    def test_a_file_of_ours_is_not_read_into_a_reference(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("the secret")
        prolog = f'<!DOCTYPE Document [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
        with pytest.raises(lines.BankFileInvalid, match="DOCTYPE"):
            camt.read(document(statement(Entry("1.00", [Part(texts=("&x;",))])), prolog=prolog))

    def test_entities_that_grow_are_not_expanded(self) -> None:
        grown = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
        prolog = f'<!DOCTYPE Document [<!ENTITY e0 "ha">{grown}]>'
        with pytest.raises(lines.BankFileInvalid):
            camt.read(document(statement(Entry("1.00", [Part(texts=("&e11;",), name="&e11;")])), prolog=prolog))

    def test_elements_without_end_are_refused(self) -> None:
        with pytest.raises(lines.BankFileInvalid):
            camt.read(document("<Stmt>" * 100_000))

    def test_more_bytes_or_lines_than_a_file_may_have_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "MOST_LINES", 3)
        with pytest.raises(lines.BankFileTooLarge):
            camt.read(file(*[SENT] * 4))
        with pytest.raises(lines.BankFileTooLarge):
            camt.read(file(Entry("4.00", [Part("1.00")] * 4)))
        monkeypatch.setattr(lines, "LARGEST_FILE", 100)
        with pytest.raises(lines.BankFileTooLarge):
            camt.read(file(SENT))

    def test_texts_are_cut_and_have_no_control_characters(self) -> None:
        (read,) = camt.read(file(Entry("1.00", [Part(texts=("a&#x85;b\n c" + "x" * 2000,) + ("y",) * 50)])))
        (line,) = read.lines
        assert line.references[0].startswith("a b cxxx")
        assert len(line.references[0]) == lines.LONGEST_TEXT
        assert len(line.references) <= lines.MOST_TEXTS

    @given(st.data())
    def test_whatever_happens_to_a_file_it_is_read_or_refused(self, data: st.DataObject) -> None:
        content = bytearray(file(PAID, SENT))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(content) - 1))
            until = data.draw(st.integers(at, min(len(content), at + 40)))
            content[at:until] = data.draw(st.binary(max_size=8))
        assert_read_or_refused(bytes(content))

    @given(st.data())
    def test_whatever_stands_in_an_element_it_is_read_or_refused(self, data: st.DataObject) -> None:
        texts = list(re.finditer(r"(?<=>)[^<>]+(?=<)", GOOD))
        at = data.draw(st.sampled_from(texts))
        text = data.draw(
            st.sampled_from(["", "0", "-1", "NaN", "1E5", "9" * 40, "٣", "2026-13-01"]) | st.text(max_size=20)
        )
        assert_read_or_refused((GOOD[: at.start()] + escape(text) + GOOD[at.end() :]).encode("utf-8", "replace"))


def assert_read_or_refused(content: bytes) -> None:
    with suppress(lines.BankFileInvalid):
        assert camt.read(content)
