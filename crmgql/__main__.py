"""`crmgql`, which is also `python -m crmgql`."""

from __future__ import annotations

from crmgql import garbage


def main() -> None:
    """Runs a command."""
    with garbage.left_out():
        from crmgql.cli import commands
    commands.main()


if __name__ == "__main__":
    main()
