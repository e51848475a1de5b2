"""The commands that measure: error rates, attacks, liveness, the acceptance of one kiosk.

Read `evaluate` first: it declares them all. Imports everything, as `cli` does.
"""
