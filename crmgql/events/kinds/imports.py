"""Imports."""

from crmgql.events.declarations import Kind, Payload


class Counts(Payload):
    """Lines by outcome."""

    read: int
    inserted: int
    updated: int
    unchanged: int
    skipped: int
    rejected: int
    already_done: int


class ImportFinished(Payload):
    """The source, the step, the noun, and the counts."""

    source: str
    step: str
    noun: str
    counts: Counts


KINDS = (Kind("import.finished", "ImportRun", "A step of an import finished.", ImportFinished),)
