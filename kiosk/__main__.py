"""`python -m kiosk`."""

from kiosk.cli.main import run

run()
