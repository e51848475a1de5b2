"""People, decisions and what waits to be sent: sealed, signed, in one SQLite file; all SQL is here.

Read `store` first (the acts), then `schema`, `vault`, `chain`. Imports settings and below.
"""
