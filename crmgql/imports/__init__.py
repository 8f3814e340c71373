"""Imports: CSV files through a mapping file into the tables, streamed, in batches that survive a crash.

`execution.run` is the way in. Enters: a mapping (TOML), CSV files, a connection of its own. Leaves: upserted rows, a
reject file, one `import_runs` row and one event per step. Always holds: a row is written whole or not at all, and a
rerun changes only what differs.
"""

from crmgql.imports.execution import run
from crmgql.imports.reports import Progress, Report, StepReport

__all__ = ["Progress", "Report", "StepReport", "run"]
