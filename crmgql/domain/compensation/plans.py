"""Plans by which people are paid. What they say is in their versions (`versions`), whom they pay in `assignments`."""

from __future__ import annotations

from crmgql.models import CompPlan
from crmgql.records import plain

FACTS = "name description"
CONFLICTS = {"comp_plans_name": ("name", "Another plan has this name.")}

create = plain.create(CompPlan, FACTS, kind="plan.created", conflicts=CONFLICTS)
update = plain.update(CompPlan, FACTS, kind="plan.updated", conflicts=CONFLICTS)
