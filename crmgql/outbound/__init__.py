"""Requests to servers of others: where they may go, and a client that goes nowhere else."""
