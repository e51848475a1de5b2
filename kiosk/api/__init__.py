"""HTTP to types and back, and nothing more.

Read `app` first, then `operation` (what a route is), `gate` (who is let in) and `routes/`. Imports entrance and below.
"""
