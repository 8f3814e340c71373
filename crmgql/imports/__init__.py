"""Imports: CSV files through a mapping file into the tables, streamed, in batches that survive a crash.

`execution.run` is the way in. Enters: a mapping (TOML), CSV files, a connection of its own. Leaves: records with their
events and audit rows, a reject file, one `import_runs` row per step. Always holds: a row is written whole or not at
all, and a rerun changes only what differs.
"""
