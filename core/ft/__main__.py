"""`python -m ft` is `ft`, as where the command is not on the search path."""

from ft.cli import main

main()
