"""Exchange rates from files: known by currency and day, never changed, replaced by newer rows."""

from __future__ import annotations

from tests.imports.conftest import Workshop

RATES = """
source = "bank"
[[step]]
noun = "fx_rates"
file = "rates.csv"
external_id = "{day} {currency}"
[step.fields]
currency = "{currency}"
effective_on = "{day}"
rate = "{rate}"
"""
ROWS = "SELECT currency, effective_on::text, rate::text, source, base_currency FROM fx_rates WHERE source = 'bank' ORDER BY id"


async def test_rates_are_written_once_and_a_corrected_one_is_a_newer_row(shop: Workshop) -> None:
    shop.file("rates.csv", "day,currency,rate\n2026-01-02,NOK,1.250\n2026-01-02,USD,1\n2026-01-03,NOK,1.3\n")
    first = await shop.run(RATES)
    assert (first.total.inserted, first.total.unchanged, first.total.rejected) == (2, 1, 0)  # the books are in USD
    january = ("NOK", "2026-01-02", "1.25", "bank", "USD")
    assert await shop.rows(ROWS) == [january, ("NOK", "2026-01-03", "1.3", "bank", "USD")]
    assert (await shop.run(RATES)).total.unchanged == 3
    shop.file("rates.csv", "day,currency,rate\n2026-01-02,NOK,1.26\n2026-01-03,NOK,1.30\n")
    assert (await shop.run(RATES)).total.inserted == 1
    assert (await shop.rows(ROWS))[2:] == [("NOK", "2026-01-02", "1.26", "bank", "USD")]
    shop.file("rates.csv", "day,currency,rate\n2026-01-02,NOK,1.25\n")
    assert (await shop.run(RATES)).total.inserted == 1
    assert (await shop.rows(ROWS))[3:] == [january]
    assert await shop.value("SELECT count(*) FROM events WHERE kind = 'rate.set'") == 4
    assert await shop.value("SELECT count(*) FROM audit_entries WHERE action = 'rate.set'") == 4


async def test_what_is_no_rate_is_rejected(shop: Workshop) -> None:
    shop.file(
        "rates.csv",
        "day,currency,rate\n2026-01-02,nok,1\n2026-01-02,NOK,0\n2026-01-02,SEK,0.0000000000001\n,SEK,1\n2026-01-02,DKK,0.1\n",
    )
    report = await shop.run(RATES)
    assert (report.total.inserted, report.total.rejected) == (1, 4)
    assert [(row["line"], row["column"], row["reason"]) for row in shop.rejects()] == [
        ("2", "currency", "currency: 'nok' is not a currency code such as USD"),
        ("3", "rate", "rate: 0 is not more than 0"),
        ("4", "rate", "rate: 1E-13 has too many decimals: rate has 12"),
        ("5", "day, currency", "external_id: is blank"),
    ]


async def test_two_rates_of_a_day_in_one_file_are_one_too_many(shop: Workshop) -> None:
    shop.file("rates.csv", "n,day,currency,rate\n1,2026-01-02,NOK,1.25\n2,2026-01-02,NOK,1.3\n")
    report = await shop.run(RATES.replace("{day} {currency}", "{n}"))
    assert (report.total.inserted, report.total.rejected) == (1, 1)
    assert [row["reason"] for row in shop.rejects()] == [
        "effective_on: another row says what NOK is worth on 2026-01-02"
    ]
