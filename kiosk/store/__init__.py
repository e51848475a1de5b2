"""People, decisions and what waits to be sent: sealed, signed, in one SQLite file; all SQL is here.

Read `store` first, then `people` and `decision_log` (the acts), `schema`, `vault`, `chain`; `upkeep/` is for whole
stores. `database`, `schema`, `vault` and `subject_rows` are private to this folder. Imports settings and below.
"""
