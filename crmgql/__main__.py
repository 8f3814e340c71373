"""`python -m crmgql` is `crmgql`."""

from crmgql.cli import main

main()
