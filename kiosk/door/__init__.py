"""Lines, lamps, relay, and the supervisor that ends each pulse.

Read `door` first. `python -m kiosk.door --safe` puts every line into its safe state. Imports settings and below.
"""
