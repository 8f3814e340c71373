"""The public pools."""

from crmgql.events.declarations import SOMETIMES, FreeText, Kind, Payload, record_id


class Stay(Payload):
    """The lead or customer that entered or left the pool, and the reason, if there is one."""

    lead_id: record_id("Lead") | None = None  # type: ignore[valid-type]
    customer_id: record_id("Customer") | None = None  # type: ignore[valid-type]
    reason: FreeText | None = None


class Warned(Payload):
    """The pool that it would go to."""

    pool_id: record_id("Pool")  # type: ignore[valid-type]


KINDS = (
    Kind("pool.created", "Pool", "A pool was made."),
    Kind("pool.updated", "Pool", "A pool's rules changed."),
    Kind("pool.released", "PoolItem", "Somebody released a lead or a customer into a pool.", Stay, SOMETIMES),
    Kind("pool.reclaimed", "PoolItem", "A lead or a customer that nobody followed up went to a pool.", Stay, SOMETIMES),
    Kind("pool.claimed", "PoolItem", "Somebody took a lead or a customer out of a pool.", Stay, SOMETIMES),
    Kind("lead.reclaimWarned", "Lead", "A lead's owner was warned that it goes to a pool.", Warned, SOMETIMES),
    Kind(
        "customer.reclaimWarned", "Customer", "A customer's owner was warned that it goes to a pool.", Warned, SOMETIMES
    ),
)
