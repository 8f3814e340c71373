"""What follow-ups can say of a lead: the variables of their templates."""

from __future__ import annotations

from crmgql.domain.messages import templates
from crmgql.domain.messages.templates import Values
from crmgql.domain.messages.templates import render as render


def check(source: str | None, *, field: str) -> None:
    """Raises `BadUserInput` for a template that would not render for every lead."""
    templates.check(source, variables(), field=field)


def variables(
    *, name: str = "", company: str | None = None, owner: str | None = None, unsubscribe: str | None = None
) -> Values:
    """The variables of a template; an unknown value is an empty text, so that `{% if lead.company %}` works."""
    first = name.split()[0] if name.split() else ""
    return {
        "lead": {"name": name, "first_name": first, "company": company or ""},
        "owner": {"name": owner or ""},
        "unsubscribe": unsubscribe or "",
    }
