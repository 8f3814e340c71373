"""What an import reports while it runs and when it is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """A moment of a running import: `read` of `total` rows in the step that is number `index` of `steps`."""

    step: str
    noun: str
    index: int
    steps: int
    read: int
    total: int
    inserted: int
    updated: int
    unchanged: int
    skipped: int
    rejected: int


@dataclass
class StepReport:
    """The counts of one step in this run: read = inserted + updated + unchanged + skipped + rejected.

    `skipped` rows gave way to another row with the same key. `already_done` rows were settled by an earlier run
    that stopped half way; they are in no other count (of a step it had finished: without the skipped ones).
    """

    name: str
    noun: str
    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    rejected: int = 0
    already_done: int = 0
    elapsed_s: float = 0.0

    def add(self, other: StepReport) -> None:
        self.read += other.read
        self.inserted += other.inserted
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.skipped += other.skipped
        self.rejected += other.rejected
        self.already_done += other.already_done
        self.elapsed_s += other.elapsed_s

    def counts(self) -> dict[str, int]:
        return {
            "read": self.read,
            "inserted": self.inserted,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "skipped": self.skipped,
            "rejected": self.rejected,
            "already_done": self.already_done,
        }


@dataclass
class Report:
    """All steps, in order, and their sum. `rejects_path` exists as a file only if something was rejected."""

    source: str
    dry_run: bool
    rejects_path: Path
    steps: list[StepReport] = field(default_factory=list)

    @property
    def total(self) -> StepReport:
        total = StepReport("total", "")
        for step in self.steps:
            total.add(step)
        return total
