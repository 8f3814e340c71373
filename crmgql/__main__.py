"""`python -m crmgql` is `crmgql`."""

from crmgql.cli.commands import main

main()
