"""`python -m kiosk`."""

from kiosk.cli import run

run()
