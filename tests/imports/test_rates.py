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


async def test_rates_for_other_books_are_left_alone(shop: Workshop) -> None:
    mapping = RATES + 'base_currency = { template = "{base}", blank = "null" }\n'
    rows = "1,2026-01-02,NOK,0.1,USD\n2,2026-01-02,NOK,0.08,EUR\n3,2026-01-03,NOK,0.2,\n4,2026-01-04,NOK,0.2,usd\n"
    shop.file("rates.csv", f"n,day,currency,rate,base\n{rows}")
    report = await shop.run(mapping.replace("{day} {currency}", "{n}"))
    assert (report.total.inserted, report.total.unchanged, report.total.rejected) == (2, 1, 1)
    assert [row[1:3] for row in await shop.rows(ROWS)] == [("2026-01-02", "0.1"), ("2026-01-03", "0.2")]
    assert [row["column"] for row in shop.rejects()] == ["base"]


async def test_rates_the_other_way_round(shop: Workshop) -> None:
    """As a central bank publishes them: units per unit of the books' currency, a column for each currency."""
    await shop.connection.execute("UPDATE companies SET default_currency = 'EUR'")
    shop.file("ecb.csv", "Date,USD,NOK,\n2026-01-05,1.0842,N/A,\n2026-01-02,1.25,0,\n")
    steps = "".join(
        f"""
        [[step]]
        name = "{code}"
        noun = "fx_rates"
        file = "ecb.csv"
        external_id = "{{Date}} {code}"
        when = "{{{code}}}"
        formats = {{ blanks = ["N/A"] }}
        [step.fields]
        currency = "{code}"
        base_currency = "EUR"
        effective_on = "{{Date}}"
        rate = {{ template = "{{{code}}}", invert = true }}
        """
        for code in ("USD", "NOK")
    )
    report = await shop.run(f'source = "bank"{steps}')
    assert (report.total.inserted, report.total.skipped, report.total.rejected) == (2, 1, 1)
    assert await shop.rows(ROWS) == [
        ("USD", "2026-01-05", "0.922339051835", "bank", "EUR"),
        ("USD", "2026-01-02", "0.8", "bank", "EUR"),
    ]
    assert [row["reason"] for row in shop.rejects()] == ["rate: 0 has no inverse"]


async def test_a_file_beside_the_mapping(shop: Workshop) -> None:
    (shop.folder / "files").mkdir()
    shop.file("rates.csv", "day,currency,rate\n2026-01-02,NOK,0.1\n")
    shop.file("files/rates.csv", "day,currency,rate\n2026-01-02,NOK,0.2\n")
    for name, rate in (("./rates.csv", "0.1"), ("rates.csv", "0.2")):
        await shop.run(RATES.replace("rates.csv", name), base_dir=shop.folder / "files")
        assert (await shop.rows(ROWS))[-1][2] == rate


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
