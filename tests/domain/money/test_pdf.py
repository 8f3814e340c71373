"""Paper: what stands on it, read as a viewer reads it, in both languages; the same bytes for the same facts."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pypdfium2
import pytest

from crmgql.domain.money.pdf import paper, printing, words
from crmgql.domain.money.pdf.documents import (
    Account,
    Ageing,
    Document,
    Entry,
    Instalment,
    Invoice,
    Issuer,
    ItemLine,
    Recipient,
    Tax,
)

MADE_AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
ISSUER = Issuer(
    "Example Tech Ltd 北京某某科技",
    ("No. 88 Jianguo Road", "北京 100022"),
    tax_id="91110105MA01ABCD3X",
    email="billing@example.com",
    bank="招商银行",
    account="6222 0001",
    bank_code="CMBCCNBS",
)
RECIPIENT = Recipient("Müller & Söhne GmbH", ("Hauptstraße 1", "12345 Berlin"), "DE123456789", "K-1042")
INVOICE = Invoice(
    "INV-2026-0007",
    date(2026, 3, 1),
    "EUR",
    ISSUER,
    RECIPIENT,
    (
        ItemLine(
            "Pump", D("2.000"), D("600.00"), D("1200.00"), details="Installed 包安装", unit="pcs", tax_rate=D("19")
        ),
        ItemLine("Manual", D("0.5"), D("10.1234"), D("4.56"), discount=D("0.50"), tax_rate=D("7.0")),
    ),
    subtotal=D("1204.56"),
    total=D("1432.88"),
    taxes=(Tax(D("228.00"), D("1200.00"), D("19"), "VAT"), Tax(D("0.32"), D("4.56"), D("7"), "VAT")),
    paid=D("100.00"),
    instalments=(
        Instalment(date(2026, 3, 31), D("716.44"), D("616.44")),
        Instalment(date(2026, 4, 30), D("716.44"), D("716.44")),
    ),
    order="SO-77",
    reference="PO 4711",
    notes="Thank you.\n谢谢！",
)
ACCOUNT = Account(
    "CNY",
    date(2026, 1, 1),
    date(2026, 1, 31),
    ISSUER,
    RECIPIENT,
    D("-5.00"),
    (
        Entry(date(2026, 1, 2), "账单", "INV-1", date(2026, 2, 1), debit=D("1100.00")),
        Entry(date(2026, 1, 9), "收款", "P-1", credit=D("95.00")),
    ),
    Ageing(D("1000.00"), D("0.00"), D("0.00"), D("0.00"), D("0.00")),
)

ENGLISH = """
Example Tech Ltd 北京某某科技
No. 88 Jianguo Road
北京 100022
Müller & Söhne GmbH
Hauptstraße 1
12345 Berlin
Number INV-2026-0007
Date 1 Mar 2026
Order SO-77
Your reference PO 4711
Customer no. K-1042
Your tax ID DE123456789
Invoice INV-2026-0007
No. Description Quantity Unit price Discount Tax Amount EUR
1 Pump 2 pcs 600.00 19% 1,200.00
Installed 包安装
2 Manual 0.5 10.1234 -0.50 7% 4.56
Subtotal 1,204.56
VAT 19% of 1,200.00 228.00
VAT 7% of 4.56 0.32
Total EUR 1,432.88
Paid -100.00
To pay EUR 1,332.88
Instalments
Due Amount EUR Open EUR
31 Mar 2026 716.44 616.44
30 Apr 2026 716.44 716.44
Please quote INV-2026-0007 when you pay.
Thank you.
谢谢！
Example Tech Ltd 北京某某科技 · Tax ID 91110105MA01ABCD3X
billing@example.com
Bank 招商银行 · Account 6222 0001 · BIC CMBCCNBS
Page 1 of 1
"""
CHINESE = """
Example Tech Ltd 北京某某科技
No. 88 Jianguo Road
北京 100022
Müller & Söhne GmbH
Hauptstraße 1
12345 Berlin
期间 2026年1月1日至2026年1月31日
币种 CNY
客户编号 K-1042
贵方税号 DE123456789
客户对账单 Müller & Söhne GmbH
日期 摘要 编号 到期日 借方 贷方 余额 CNY
2026年1月1日 期初余额 -5.00
2026年1月2日 账单 INV-1 2026年2月1日 1,100.00 1,095.00
2026年1月9日 收款 P-1 95.00 1,000.00
2026年1月31日 期末余额 1,000.00
未付款账龄（逾期天数）
CNY 未到期 1–30 31–60 61–90 90 以上
1,000.00 0.00 0.00 0.00 0.00
Example Tech Ltd 北京某某科技 · 税号 91110105MA01ABCD3X
billing@example.com
开户行 招商银行 · 账号 6222 0001 · 行号 CMBCCNBS
第 1 页，共 1 页
"""


def printed(document: Document, locale: str = "en-GB") -> printing.Printed:
    return printing.print_document(document, locale=locale, made_at=MADE_AT)


def pages(content: bytes) -> Iterator[Any]:
    """The text of each page, as the viewer in Chrome has it."""
    with pypdfium2.PdfDocument(content) as document:
        for page in document:
            text = page.get_textpage()
            yield text
            text.close()
            page.close()


def texts(content: bytes) -> list[str]:
    return ["\n".join(" ".join(line.split()) for line in text.get_text_range().splitlines()) for text in pages(content)]


def longer(count: int, description: str = "Service") -> Invoice:
    lines = tuple(ItemLine(f"{description} {n}", D(1), D(n), D(n), tax_rate=D(19)) for n in range(1, count + 1))
    return replace(INVOICE, lines=lines)


def test_an_invoice_in_english() -> None:
    assert texts(printed(INVOICE).content) == [ENGLISH.strip()]


def test_a_statement_in_chinese() -> None:
    assert texts(printed(ACCOUNT, "zh-CN").content) == [CHINESE.strip()]


def test_an_invoice_in_chinese_is_headed_as_a_bill() -> None:
    """发票 is the tax office's document."""
    (text,) = texts(printed(INVOICE, "zh-CN").content)
    assert "账单 INV-2026-0007" in text
    assert "发票" not in text
    assert "VAT 19%（计税额 1,200.00） 228.00" in text
    assert "应付 EUR 1,332.88" in text


def test_a_credit_note_says_what_it_corrects_and_asks_for_nothing() -> None:
    note = replace(INVOICE, kind="CREDIT_NOTE", number="CN-1", corrects="INV-2026-0007", paid=D(0), instalments=())
    (text,) = texts(printed(note).content)
    assert "Credit note CN-1" in text
    assert "Corrects invoice INV-2026-0007" in text
    assert "Credited EUR 1,432.88" in text
    assert "Please quote" not in text
    assert "To pay" not in text


def test_one_instalment_is_the_due_date() -> None:
    once = replace(INVOICE, instalments=INVOICE.instalments[:1])
    (text,) = texts(printed(once).content)
    assert "Due 31 Mar 2026" in text
    assert "Instalments" not in text


@pytest.mark.parametrize(
    ("currency", "total"), [("JPY", "JPY 1,433"), ("KWD", "KWD 1,432.880"), ("EUR", "EUR 1,432.88")]
)
def test_amounts_have_their_currencys_decimals(currency: str, total: str) -> None:
    amount = D("1433") if currency == "JPY" else D("1432.88")
    (text,) = texts(printed(replace(INVOICE, currency=currency, total=amount)).content)
    assert f"Total {total}" in text


def test_a_table_over_pages_repeats_its_head_and_loses_nothing() -> None:
    made = printed(longer(110))
    found = texts(made.content)
    assert made.pages == len(found) == 4
    assert all("No. Description Quantity Unit price Tax Amount EUR" in text for text in found)
    assert all(f"Page {n} of 4" in text for n, text in enumerate(found, 1))
    assert all("Invoice INV-2026-0007" in text for text in found)
    together = "\n".join(found)
    assert all(f"{n} Service {n} 1 {n}.00 19% {n}.00" in together for n in range(1, 111))


LONG = "A long description of many words, 包含安装调试、培训以及两年质保服务。" * 150


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(longer(40), id="many lines"),
        *(pytest.param(longer(count), id=f"totals behind {count} lines") for count in (16, 19, 22)),
        pytest.param(longer(2, LONG), id="a line longer than a page"),
        pytest.param(replace(INVOICE, notes=LONG), id="long notes"),
        pytest.param(replace(INVOICE, reference="x" * 200, number="N" * 150), id="long numbers"),
        pytest.param(
            replace(INVOICE, taxes=(replace(INVOICE.taxes[0], name="A tax with a long name " * 5),)), id="a long tax"
        ),
        pytest.param(replace(INVOICE, recipient=replace(RECIPIENT, address=("line",) * 60)), id="a long address"),
        pytest.param(replace(INVOICE, issuer=replace(ISSUER, bank=LONG)), id="a long footer"),
        pytest.param(replace(INVOICE, total=D("123456789012345.67"), lines=longer(1).lines), id="large amounts"),
        pytest.param(
            replace(ACCOUNT, entries=(replace(ACCOUNT.entries[0], text=LONG, reference="R" * 99),)), id="a long entry"
        ),
    ],
)
def test_nothing_is_written_over_the_edge_or_into_the_footer(document: Document) -> None:
    point = 72 / 25.4
    left, right = (paper.MARGIN - 0.5) * point, (paper.RIGHT + 0.5) * point
    footer = (paper.HEIGHT - printing.FOOTER) * point
    for text in pages(printed(document).content):
        boxes = [(text.get_charbox(n), text.get_text_range(n, 1)) for n in range(text.count_chars())]
        inked = [box for box, letter in boxes if letter.strip()]
        assert all(left <= box[0] <= box[2] <= right for box in inked)
        assert all(8 < box[1] < paper.HEIGHT * point - 8 for box in inked)
        assert not any(box[1] < footer < box[3] for box in inked), "nothing crosses the footer's rule"


def test_long_texts_are_whole() -> None:
    together = "".join("".join(texts(printed(replace(INVOICE, notes=LONG)).content)).split())
    assert together.count("两年质保服务。") == 150


def test_what_the_font_does_not_have_is_told_and_leaves_a_box() -> None:
    made = printed(replace(INVOICE, notes="Ελλάδα 한 🎉"))
    (text,) = texts(made.content)
    assert "Ελλαδα □ □" in text
    assert made.missing == "ά한🎉"
    assert printed(INVOICE).missing == ""


def test_marks_that_turn_a_text_around_or_hide_are_not_written() -> None:
    (text,) = texts(
        printed(replace(INVOICE, notes="pay\u202e0001\u202c to\x00 (me) \\ {nb} **x** \u200bA\u0308")).content
    )
    assert "pay0001 to (me) \\ {nb} **x** Ä" in text


def digest_of_both() -> str:
    both = printed(INVOICE, "zh-CN").content + printed(ACCOUNT).content
    return hashlib.sha256(both).hexdigest()


def test_equal_facts_give_equal_bytes_in_any_process() -> None:
    script = "from tests.domain.money import test_pdf; print(test_pdf.digest_of_both())"
    elsewhere = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    made = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=elsewhere)
    assert made.stdout.strip() == digest_of_both()


def test_the_file_says_what_it_is() -> None:
    with pypdfium2.PdfDocument(printed(INVOICE, "zh-CN").content) as document:
        facts = document.get_metadata_dict()
    assert facts["Title"] == "账单 INV-2026-0007"
    assert facts["Author"] == ISSUER.name
    assert facts["CreationDate"] == "D:20260301093000Z"


@pytest.mark.parametrize(
    ("locale", "day", "total"),
    [
        ("en-US", "Mar 1, 2026", "Total"),
        ("en-GB", "1 Mar 2026", "Total"),
        ("zh-CN", "2026年3月1日", "合计"),
        ("zh-TW", "2026年3月1日", "合计"),
        ("de-DE", "1 Mar 2026", "Total"),
        ("klingon!", "1 Mar 2026", "Total"),
    ],
)
def test_a_locale_says_the_language_and_how_days_are_written(locale: str, day: str, total: str) -> None:
    say = words.of(locale)
    assert (say.day(date(2026, 3, 1)), say("total")) == (day, total)
