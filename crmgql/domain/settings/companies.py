"""The company: its name, time zone, fiscal year, and defaults for forms.

Always holds: there is one. Days are counted in the company's time zone everywhere: see `Act.today`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from babel import Locale, UnknownLocaleError

from crmgql import access
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.money import terms
from crmgql.errors import BadUserInput
from crmgql.models import Company, OrderStatus
from crmgql.postgres.company import BELIEVED_S
from crmgql.records import checks, money, records
from crmgql.records.columns import takes
from crmgql.records.money import Money
from crmgql.records.records import Act, Row

FACTS = (
    "name timezone first_day_of_week fiscal_year_start_month fiscal_year_start_day default_currency locale revenue_statuses "
    "address tax_id payment_terms write_off_tolerances low_margin_percent payout_days"
)

ONLY = "SELECT id FROM companies"
DATABASE_KNOWS = "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)"
COMMITTED = frozenset(OrderStatus) - {OrderStatus.DRAFT, OrderStatus.CANCELLED}
CONFLICTS = {
    "companies_first_day_of_week": ("firstDayOfWeek", "Weekdays are 1 (Monday) to 7."),
    "companies_fiscal_year_start_month": ("fiscalYearStartMonth", "Months are 1 to 12."),
    "companies_low_margin": ("lowMarginPercent", "Is 0 to 100, with two decimals at most."),
    "companies_payout_days": ("payoutDays", "Is 0 to 90 days."),
    "companies_fiscal_year_start_day": ("fiscalYearStartDay", "Must be a day that the month has in every year."),
}
NOTICED = timedelta(seconds=2 * BELIEVED_S)
"""After this time every process uses the new zone."""


@takes(Company, FACTS)
async def update(act: Act, *, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named. After a change of time zone, a job computes scores and risks again."""
    access.require_write(act.viewer, "Company")
    company = await records.lock(
        act, Company, await act.tx.connection.fetchval(ONLY), expected_version=expected_version
    )
    changes = await _checked(act, changes)
    after = await records.change(act, Company, company, changes, kind="company.updated", conflicts=CONFLICTS)
    act.tx.after_commit.append(act.tx.forget_company)
    if after["timezone"] != company["timezone"]:
        key = f"{after['id']}:{after['version']}"
        await jobs.enqueue(act, kinds.OPPORTUNITIES_SCORE, kinds.Nothing(), due_at=act.now + NOTICED, unique_key=key)
    return company["id"]  # type: ignore[no-any-return]


async def _checked(act: Act, changes: Row) -> Row:
    """The changes as stored. Raises `BadUserInput` for an invalid time zone, locale, amount or payment terms."""
    if (zone := changes.get("timezone")) is not None:
        checks.time_zone(zone, "timezone")
        if not await act.tx.connection.fetchval(DATABASE_KNOWS, zone):
            raise BadUserInput("PostgreSQL does not know this time zone; choose another.", field="timezone")
    if (locale := changes.get("locale")) is not None:
        changes = {**changes, "locale": _locale(locale)}
    if (text := changes.get("payment_terms")) is not None:
        changes = {**changes, "payment_terms": terms.written(text)}
    if "revenue_statuses" in changes:
        changes = {**changes, "revenue_statuses": _statuses(changes["revenue_statuses"] or ())}
    if (tolerances := changes.get("write_off_tolerances")) is not None:
        changes = {**changes, "write_off_tolerances": _tolerances(tolerances)}
    return changes


def _statuses(asked: Collection[str]) -> list[str]:
    """The statuses in their order, each once. Raises `BadUserInput` for none, and for one that is not committed."""
    if not asked or not set(asked) <= COMMITTED:
        raise BadUserInput("Name at least one status, and neither DRAFT nor CANCELLED.", field="revenueStatuses")
    return [status for status in OrderStatus if status in asked]


def _tolerances(amounts: Sequence[Money]) -> dict[str, str]:
    """The amounts by currency, as text."""
    found: dict[str, str] = {}
    for number, each in enumerate(amounts):
        if each[1] in found:
            raise BadUserInput(f"{each[1]} is there twice.", field=f"writeOffTolerances.{number}.currency")
        found[each[1]] = str(money.amount(each, field=f"writeOffTolerances.{number}"))
    return found


def _locale(text: str) -> str:
    """The locale, written with hyphens."""
    try:
        Locale.parse(text.replace("_", "-"), sep="-")
    except (ValueError, UnknownLocaleError):
        raise BadUserInput('Must be a locale such as "de-DE".', field="locale") from None
    return text.replace("_", "-")
