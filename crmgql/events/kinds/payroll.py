"""What people are paid besides commissions. Amounts are nowhere in the payloads; whoever may see them reads the record."""

from crmgql.events.declarations import Changed, Kind, Payload, record_id


class OfPerson(Changed):
    """Whom it is paid to."""

    user_id: record_id("User")  # type: ignore[valid-type]


class OfEntry(Payload):
    """Whom it is paid to or taken from, and the entry that it reverses, if it does."""

    user_id: record_id("User")  # type: ignore[valid-type]
    reverses_id: record_id("PayEntry") | None = None  # type: ignore[valid-type]


KINDS = (
    Kind("salary.set", "Salary", "Somebody's salary was set, from a day on.", OfPerson),
    Kind("salary.ended", "Salary", "The last day of a salary changed.", OfPerson),
    Kind("salary.cancelled", "Salary", "A salary was cancelled: it was never due.", OfPerson),
    Kind("payEntry.added", "PayEntry", "An entry of pay was added.", OfEntry),
    Kind("payEntry.reversed", "PayEntry", "An entry of pay was added that reverses another one.", OfEntry),
)
