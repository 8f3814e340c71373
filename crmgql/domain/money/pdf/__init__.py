"""Invoices, credit notes and statements on paper: facts in, the bytes of a PDF out. `printing` is the door."""
