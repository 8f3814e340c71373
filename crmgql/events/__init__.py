"""Events and the audit trail: which kinds there are (`kinds`), and the only writer (`outbox`)."""
