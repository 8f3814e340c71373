"""Many commissions at once."""

from __future__ import annotations

from crmgql.models import Commission
from crmgql.records.bulk import Writer


class _Commissions(Writer):
    """Commissions as they were paid elsewhere. Those of plans are nobody's to write."""

    derived = frozenset(
        {
            "kind",
            "earned_on",
            "event_id",
            "plan_version",
            "rule",
            "role",
            "share",
            "whole_amount",
            "attained_before",
            "attained_after",
            "parts",
        }
    )


commissions = _Commissions(Commission, "commission.recorded", "commission.updated")
