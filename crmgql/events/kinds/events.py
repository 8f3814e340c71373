"""Gaps in the stream, and erasures."""

from crmgql.events.declarations import GAP, FreeText, Kind, Payload


class GapRecorded(Payload):
    """The type whose records changed, the first and last id of those (none: any), and the reason."""

    type: str
    first: str | None = None
    last: str | None = None
    reason: FreeText


class PersonErased(Payload):
    """How many records were blanked."""

    records: int


KINDS = (
    Kind("gap.recorded", GAP, "Records changed without events: mirrors must fetch them again.", GapRecorded),
    Kind("person.erased", "Erasure", "A person was erased from all records.", PersonErased),
)
