"""Intake sources: the forms, pages and partners that may post leads, each with a key of its own.

Always holds: only the hash of a key is stored, and a key is found by it, so that no code compares secrets. A key may be
in the source of a web page: it identifies the intake source and allows nothing but posting leads.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.db import Database
from crmgql.domain.people import tokens
from crmgql.errors import BadUserInput, Forbidden, IllegalTransition
from crmgql.models import Campaign, IntakeSource
from crmgql.records import columns, records
from crmgql.records.records import Act

FACTS = "name rate_per_minute allowed_origins lead_source campaign_id"
KEY_PREFIX = "crmin_"
MAX_ORIGINS = 50
ORIGIN = re.compile(r"https?://[a-z0-9.-]{1,253}(:[0-9]{1,5})?|https?://\[[0-9a-f:.]{2,45}\](:[0-9]{1,5})?")

FIND = """
SELECT id, name, rate_per_minute, allowed_origins, lead_source, campaign_id
FROM intake_sources WHERE key_hash = $1 AND active"""
ORIGINS = """
SELECT coalesce(bool_or(allowed_origins = '{}'), false) AS any_origin, array_agg(DISTINCT origin) AS origins
FROM intake_sources LEFT JOIN LATERAL unnest(allowed_origins) AS listed (origin) ON true WHERE active"""

CONFLICTS = {
    "intake_sources_name": ("name", "Another intake source has this name, in upper or lower case."),
    "intake_sources_rate": ("ratePerMinute", "A rate is 1 to 6000 posts per minute."),
}


@dataclass(frozen=True, slots=True)
class Source:
    """An active source. Without `allowed_origins`, pages of any origin may post."""

    id: UUID
    name: str
    rate_per_minute: int
    allowed_origins: frozenset[str]
    lead_source: str | None
    campaign_id: UUID | None

    def allows(self, origin: str | None) -> bool:
        """Whether a post with this `Origin` header is accepted; if origins are listed, a post without the header is not."""
        return not self.allowed_origins or (origin or "").lower() in self.allowed_origins


@columns.takes(IntakeSource, FACTS, columns.ORIGIN)
async def create(act: Act, **values: Any) -> tuple[UUID, str]:
    """Makes a source; returns its id and its key, which is shown only now. Raises `Conflict`, `NotFound`, `BadUserInput`."""
    access.require_write(act.viewer, "IntakeSource")
    await _check(act, values)
    key = _new_key()
    values |= {"key_hash": tokens.digest(key), "hint": key[:12]}
    source = await records.create(act, IntakeSource, values, kind="intakeSource.created", conflicts=CONFLICTS)
    return source["id"], key


@columns.takes(IntakeSource, FACTS, "active")
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; `active=True` reactivates a source."""
    access.require_write(act.viewer, "IntakeSource")
    await _check(act, changes)
    source = await records.lock(act, IntakeSource, id, expected_version=expected_version)
    await records.change(act, IntakeSource, source, changes, kind="intakeSource.updated", conflicts=CONFLICTS)
    return id


async def rotate_key(act: Act, *, id: UUID, expected_version: int | None = None) -> tuple[UUID, str]:
    """Makes a new key, shown only now; the old one is invalid from now on."""
    access.require_write(act.viewer, "IntakeSource")
    source = await records.lock(act, IntakeSource, id, expected_version=expected_version)
    key = _new_key()
    changes = {"key_hash": tokens.digest(key), "hint": key[:12]}
    await records.change(act, IntakeSource, source, changes, kind="intakeSource.keyRotated")
    return id, key


async def deactivate(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Accepts no more posts from it. Raises `IllegalTransition` if it is inactive already."""
    access.require_write(act.viewer, "IntakeSource")
    source = await records.lock(act, IntakeSource, id, expected_version=expected_version)
    if not source["active"]:
        raise IllegalTransition("The intake source is not active already.", field="id")
    await records.change(act, IntakeSource, source, {"active": False}, kind="intakeSource.deactivated")
    return id


async def find(database: Database, key: str) -> Source:
    """The active source with this key. Raises the same `Forbidden` for an unknown key and for an inactive source."""
    async with database.reading() as connection:
        row = await connection.fetchrow(FIND, tokens.digest(key))
    if row is None:
        raise Forbidden("No active intake source has this key; its owner can look the key up or make a new one.")
    return Source(**{**row, "allowed_origins": frozenset(row["allowed_origins"])})


async def origins(database: Database) -> tuple[bool, frozenset[str]]:
    """Whether some active source accepts posts of any origin, and the origins that active sources list."""
    async with database.reading() as connection:
        row = await connection.fetchrow(ORIGINS)
    return row["any_origin"], frozenset(origin for origin in row["origins"] or () if origin is not None)


def _new_key() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(24)


async def _check(act: Act, values: dict[str, Any]) -> None:
    if values.get("campaign_id") is not None:
        await records.visible(act, Campaign, values["campaign_id"], field="campaignId")
    if values.get("allowed_origins") is not None:
        values["allowed_origins"] = _origins(values["allowed_origins"])


def _origins(typed: Sequence[str]) -> list[str]:
    """The origins as browsers send them, each once. Raises `BadUserInput` for what is no origin."""
    if len(typed) > MAX_ORIGINS:
        raise BadUserInput(f"At most {MAX_ORIGINS} origins fit, not {len(typed)}.", field="allowedOrigins")
    listed = [origin.strip().rstrip("/").lower() for origin in typed]
    for position, origin in enumerate(listed):
        if not ORIGIN.fullmatch(origin):
            raise BadUserInput(
                f"{origin[:60]!a} is no origin; write https://host, with :port if it has one.",
                field=f"allowedOrigins.{position}",
            )
    return list(dict.fromkeys(listed))
