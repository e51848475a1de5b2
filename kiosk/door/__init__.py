"""Lines, lamps, relay, and the supervisor that ends each pulse.

Read `lines`, then `door`. `python -m kiosk.door --safe` puts every line into its safe state.
Imports settings and below.
"""
