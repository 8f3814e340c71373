"""The books: what a verb posts, and how it is chained and checked (docs/ledger.md). Knows no document."""
