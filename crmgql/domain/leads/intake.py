"""Intake: what a form, a page or a partner posts becomes a lead.

Enters: an intake source and the posted fields, which are not trusted. Leaves: a lead's id, or `BadUserInput` that names the
field. Always holds: a post can do nothing but make a lead of this source; fields that a lead does not have are kept in its
attributes, within limits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from email_validator import EmailNotValidError, validate_email

from crmgql import viewer
from crmgql.db import Database, Transaction
from crmgql.domain.leads import leads
from crmgql.domain.marketing.intake_sources import Source
from crmgql.errors import BadUserInput
from crmgql.records import checks, money, records, retries
from crmgql.records.records import Act
from crmgql.viewer import Clock

TEXTS = frozenset({"name", "company", "title", "phone", "industry", "region", "country", "city", "segment", "message"})
"""Fields that go unchanged into the lead's column of the same name."""

HONEYPOTS = frozenset({"website_url", "homepage"})
"""Fields that people do not see and programs fill in."""

CONTROLS = frozenset({"key", "redirect", "idempotency_key"})
OPT_OUT, CONSENT = "email_opt_out", "consent"
YES = frozenset({"1", "true", "yes", "y", "on"})

MAX_FIELDS = 60
MAX_ATTRIBUTES = 30
LONGEST_NAME = 60
LONGEST_VALUE = 1000
LONGEST_KEY = 200
AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,3})?")

KNOWN = "SELECT id FROM leads WHERE source = $1 AND external_id = $2"


@dataclass
class Form:
    """A post after reading. `values` are the lead's columns, `attributes` all else; `trapped`: a honeypot was filled in."""

    values: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    controls: dict[str, str] = field(default_factory=dict)
    trapped: bool = False


def read(posted: Mapping[str, Any]) -> Form:
    """The form of posted names and values. Names may be written `first_name`, `firstName` or `First-Name`.

    Raises `BadUserInput` for values that are no text, too long, too many or no e-mail address, and for a form with
    neither name nor e-mail.
    """
    if len(posted) > MAX_FIELDS:
        raise BadUserInput(f"The form has {len(posted)} fields; at most {MAX_FIELDS} fit.")
    form, parts = Form(), dict[str, str]()
    for posted_name, value in posted.items():
        name = re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", posted_name.strip())).lower()
        text = _text(value, posted_name)
        if not text:
            continue
        if name in HONEYPOTS:
            form.trapped = True
        elif name in CONTROLS:
            form.controls[name] = text
        elif name in ("first_name", "last_name"):
            parts[name] = text
        elif not _known(form, name, text):
            _keep(form, posted_name.strip(), text)
    _name(form, parts)
    return form


async def receive(
    database: Database, source: Source, form: Form, *, idempotency_key: str | None, clock: Clock = viewer.system_clock
) -> UUID:
    """The id of the new lead, or of the lead that this key made before. Raises `BadUserInput`, `Unavailable`."""

    async def work(tx: Transaction) -> UUID:
        return await _once(Act(tx, viewer.system(clock)), source, form, idempotency_key)

    return await retries.transaction(database, work, otherwise="Too many posts came at once; try again.")


async def _once(act: Act, source: Source, form: Form, key: str | None) -> UUID:
    values = dict(form.values)
    if key is not None:
        checks.check_text(key, "idempotencyKey", longest=LONGEST_KEY)
        origin = f"intake:{source.id.hex}"
        await records.serialize(act, f"{origin} {key}")
        known: UUID | None = await act.tx.connection.fetchval(KNOWN, origin, key)
        if known is not None:
            return known
        values |= {"source": origin, "external_id": key}
    if form.attributes:
        values["attributes"] = form.attributes
    return await leads.create(
        act,
        **values,
        lead_source=source.lead_source or "web",
        campaign_id=source.campaign_id,
        intake_source_id=source.id,
    )


def _text(value: Any, name: str) -> str:
    """A value as text; a list's items are joined. Raises `BadUserInput` for what is nested or can't be stored."""
    items = value if isinstance(value, list) else [value]
    text = ", ".join(_scalar(item, name) for item in items)
    checks.check_characters(text, _shown(name))
    return text.strip()


def _scalar(value: Any, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise BadUserInput("Must be a number that is finite.", field=_shown(name))
    if isinstance(value, str | int | float):
        return str(value)
    raise BadUserInput("Must be text, a number, true or false, or a list of these.", field=_shown(name))


def _shown(name: str) -> str:
    """A field's name for an error: short, and ASCII only."""
    return name[:LONGEST_NAME].encode("ascii", "backslashreplace").decode()


def _known(form: Form, name: str, text: str) -> bool:
    """Puts a value into the lead's column for it. False: there is none, or the value does not fit it."""
    if name in TEXTS:
        form.values[name] = text
    elif name == "email":
        form.values[name] = _email(text)
    elif name == "website" and (website := _website(text)) is not None:
        form.values[name] = website
    elif name == "employee_count" and re.fullmatch(r"[0-9]{1,9}", text):
        form.values[name] = int(text)
    elif name == OPT_OUT:
        form.values[OPT_OUT] = form.values.get(OPT_OUT, False) or text.lower() in YES
    elif name == CONSENT:
        form.values[OPT_OUT] = form.values.get(OPT_OUT, False) or text.lower() not in YES
    else:
        return False
    return True


def _keep(form: Form, name: str, text: str) -> None:
    shown = _shown(name)
    checks.check_characters(name, shown)
    if not 0 < len(name) <= LONGEST_NAME:
        raise BadUserInput(f"A field's name has 1 to {LONGEST_NAME} characters.", field=shown)
    if len(text) > LONGEST_VALUE:
        raise BadUserInput(f"Has {len(text)} characters; at most {LONGEST_VALUE} fit.", field=shown)
    form.attributes[f"form_{name}" if name == leads.NOTED else name] = text
    if len(form.attributes) > MAX_ATTRIBUTES:
        raise BadUserInput(f"At most {MAX_ATTRIBUTES} fields fit besides those that a lead has.", field=shown)


def _name(form: Form, parts: dict[str, str]) -> None:
    """Sets the name: from one field or two, else from the e-mail address; then the budget, which takes two fields as well."""
    joined = " ".join(parts[name] for name in ("first_name", "last_name") if name in parts)
    local = form.values.get("email", "").partition("@")[0]
    name = next((text for text in (form.values.get("name", ""), joined, local) if not checks.is_blank(text)), None)
    if name is None and not form.trapped:
        raise BadUserInput("Give a name or an e-mail address, so that there is somebody to answer.", field="name")
    form.values["name"] = name
    _budget(form)


def _budget(form: Form) -> None:
    """Takes the budget out of the attributes if it is an amount with a currency; anything else, such as a range, stays."""
    text, currency = form.attributes.get("budget", ""), form.attributes.get("currency", "").upper()
    if AMOUNT.fullmatch(text) and re.fullmatch("[A-Z]{3}", currency):
        try:
            form.values["budget"] = (money.amount((Decimal(text), currency), field="budget"), currency)
        except BadUserInput:
            return
        del form.attributes["budget"], form.attributes["currency"]


def _email(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        raise BadUserInput('An e-mail address looks like "name@example.com".', field="email") from None


def _website(text: str) -> str | None:
    """An absolute http(s) address; None for anything else, such as a script."""
    address = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    fits = parts.scheme in ("http", "https") and "." in (parts.hostname or "") and not re.search(r"\s", address)
    return address if fits and len(address) <= 500 else None
