"""The command line."""

from pyworker.cli.main import CHECKOUT_COMMANDS, COMMANDS, main

__all__ = ["CHECKOUT_COMMANDS", "COMMANDS", "main"]
