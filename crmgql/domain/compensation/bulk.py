"""Many commissions at once."""

from __future__ import annotations

from crmgql.models import Commission
from crmgql.records.bulk import Writer

commissions = Writer(Commission, "commission.recorded", "commission.updated")
