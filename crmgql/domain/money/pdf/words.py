"""What is printed around the facts, in English and in Simplified Chinese; dates and amounts by CLDR. Pure.

A Chinese invoice is headed 账单: 发票 is the tax office's document, with a number of its own, which no other paper may call itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_decimal

from crmgql.records import money

WORDS = {
    "invoice": ("Invoice", "账单"),
    "credit_note": ("Credit note", "贷项通知单"),
    "statement": ("Statement of account", "客户对账单"),
    "number": ("Number", "编号"),
    "issued_on": ("Date", "日期"),
    "due_on": ("Due", "到期日"),
    "order": ("Order", "订单号"),
    "reference": ("Your reference", "贵方编号"),
    "delivered_on": ("Delivered", "交付日期"),
    "corrects": ("Corrects invoice", "更正账单"),
    "customer_number": ("Customer no.", "客户编号"),
    "customer_tax_id": ("Your tax ID", "贵方税号"),
    "tax_id": ("Tax ID", "税号"),
    "registration": ("Registration", "注册号"),
    "bank": ("Bank", "开户行"),
    "account": ("Account", "账号"),
    "bank_code": ("BIC", "行号"),
    "position": ("No.", "序号"),
    "description": ("Description", "名称及说明"),
    "quantity": ("Quantity", "数量"),
    "unit_price": ("Unit price", "单价"),
    "line_discount": ("Discount", "折扣"),
    "tax_rate": ("Tax", "税率"),
    "amount": ("Amount", "金额"),
    "subtotal": ("Subtotal", "小计"),
    "discount": ("Discount", "折扣"),
    "shipping": ("Shipping", "运费"),
    "tax": ("Tax", "税额"),
    "tax_of": ("{name} {rate} of {net}", "{name} {rate}（计税额 {net}）"),
    "total": ("Total", "合计"),
    "paid": ("Paid", "已付"),
    "to_pay": ("To pay", "应付"),
    "credited": ("Credited", "贷记金额"),
    "instalments": ("Instalments", "分期付款"),
    "open": ("Open", "未付"),
    "quote": ("Please quote {number} when you pay.", "付款时请注明：{number}"),
    "period": ("Period", "期间"),
    "currency": ("Currency", "币种"),
    "on": ("Date", "日期"),
    "text": ("Text", "摘要"),
    "debit": ("Debit", "借方"),
    "credit": ("Credit", "贷方"),
    "balance": ("Balance", "余额"),
    "opening": ("Opening balance", "期初余额"),
    "closing": ("Closing balance", "期末余额"),
    "ageing": ("What is open, by days overdue", "未付款账龄（逾期天数）"),
    "not_due": ("Not due", "未到期"),
    "days_over_90": ("Over 90", "90 以上"),
    "page": ("Page {n} of {all}", "第 {n} 页，共 {all} 页"),
    "period_of": ("{first} – {last}", "{first}至{last}"),
}


@dataclass(frozen=True, slots=True)
class Words:
    """One language, with the country's way to write dates and numbers."""

    locale: Locale
    column: int

    def __call__(self, word: str, **facts: object) -> str:
        return WORDS[word][self.column].format(**facts)

    def day(self, day: date) -> str:
        return str(format_date(day, "medium", locale=self.locale))

    def amount(self, value: Decimal, currency: str) -> str:
        """With exactly the currency's decimals; the currency is said elsewhere."""
        decimals = money.scale(currency)
        pattern = "#,##0." + "0" * decimals if decimals else "#,##0"
        return str(format_decimal(value, pattern, locale=self.locale))

    def price(self, value: Decimal, currency: str) -> str:
        """A price, which may be finer than its currency."""
        decimals = money.scale(currency)
        return str(format_decimal(value, "#,##0." + "0" * decimals + "#" * (6 - decimals), locale=self.locale))

    def number(self, value: Decimal) -> str:
        return str(format_decimal(value, "#,##0.######", locale=self.locale))

    def percent(self, value: Decimal) -> str:
        return f"{self.number(value)}%"


def of(locale: str) -> Words:
    """The words of a locale such as `en-US`: Chinese for a Chinese one, else English, with British dates if it is no English one."""
    try:
        known = Locale.parse(locale, sep="-")
    except (ValueError, UnknownLocaleError):
        known = Locale("en", "GB")
    if known.language not in ("en", "zh"):
        known = Locale("en", "GB")
    return Words(known, int(known.language == "zh"))
