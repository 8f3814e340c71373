"""The outbox and the audit trail: what may be said (`kinds`), and the one way to write it (`outbox`)."""
