"""Import runs: how far each step of a mapping is."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import Record, check, one_of, unique


class ImportStatus(StrEnum):
    RUNNING = "RUNNING"
    DONE = "DONE"


class ImportRun(Record):
    """How far one step of an import came; written in the transaction of each batch, so that a rerun resumes."""

    source = fields.CharField(max_length=50)
    step = fields.CharField(max_length=100)
    fingerprint = fields.CharField(max_length=64)
    status = fields.CharField(max_length=20)
    lines_done = fields.BigIntField(db_default=0)
    accepted = fields.BigIntField(db_default=0)
    rejected = fields.BigIntField(db_default=0)
    finished_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "import_runs"
        constraints = [
            unique("import_runs_step", "source", "step", "fingerprint"),
            check("import_runs_status", one_of("status", ImportStatus)),
        ]
