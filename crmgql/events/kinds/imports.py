"""Imports."""

from crmgql.events.declarations import Kind, Payload


class Counts(Payload):
    """Lines by what became of them."""

    read: int
    inserted: int
    updated: int
    unchanged: int
    skipped: int
    rejected: int
    already_done: int


class ImportFinished(Payload):
    """Where the rows came from, the step, what they became, and how many of them."""

    source: str
    step: str
    noun: str
    counts: Counts


KINDS = (Kind("import.finished", "ImportRun", "A step of an import came to its end.", ImportFinished),)
