"""Commissions."""

from crmgql.events.declarations import ALWAYS, Kind

KINDS = (
    Kind("commission.recorded", "Commission", "A commission was recorded.", customer=ALWAYS),
    Kind("commission.updated", "Commission", "A commission changed.", customer=ALWAYS),
)
