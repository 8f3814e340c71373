"""How a file is written: encoding, separators, dates, numbers. Read from the mapping, each level over the one above."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from crmgql.imports.sections import Section
from crmgql.imports.values import Style

_THOUSANDS = ("", ",", ".", " ", "'", "\u2019", "\u00a0", "\u202f")


def style(section: Section, base: Style, *, single: bool) -> Style:
    """The style keys of [formats] (`date`, `datetime`) or of one field (`formats`)."""
    if single:
        formats = section.texts("formats", ())
        found = replace(base, dates=formats or base.dates, datetimes=formats or base.datetimes)
        key = "formats"
    else:
        dates, datetimes = section.texts("date", base.dates), section.texts("datetime", base.datetimes)
        found = replace(base, dates=dates, datetimes=datetimes)
        key = "date"
    for pattern in (*found.dates, *found.datetimes):
        try:
            datetime.strptime("", pattern)
        except ValueError as error:
            if "directive" in str(error) or "stray" in str(error):
                section.fail(key, f"{pattern!r} is no date format: {error}; write 'iso' or such as '%d/%m/%Y'")
    zone = section.text("timezone", base.timezone)
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError):
        section.fail("timezone", f"{zone!r} is no time zone; write one such as 'UTC' or 'America/Sao_Paulo'")
    point = section.choice("decimal", (".", ","), base.decimal)
    thousands = section.choice("thousands", _THOUSANDS, base.thousands)
    if point == thousands:
        section.fail("thousands", f"is {thousands!r} like the decimal separator; one of them must differ")
    return replace(found, timezone=zone, decimal=point, thousands=thousands)


@dataclass(frozen=True)
class Csv:
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'


def csv(section: Section, base: Csv) -> Csv:
    encoding = section.text("encoding", base.encoding)
    try:
        "a".encode(encoding)
    except LookupError:
        section.fail("encoding", f"{encoding!r} is no text encoding; write one such as 'utf-8' or 'cp1252'")
    delimiter, quote = section.text("delimiter", base.delimiter), section.text("quote", base.quote)
    for key, value in (("delimiter", delimiter), ("quote", quote)):
        if len(value) != 1 or value in "\r\n":
            section.fail(key, f"must be one character, not {value!r}")
    section.done()
    return Csv(encoding, delimiter, quote)
