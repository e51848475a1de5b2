"""Who is wired to whom, and which thread does what.

Read `kiosk` first, then `wiring`; `requests` answers what the API asks, `probes`, `door_events` and `report` are the
health thread's, `restart` and `pace` say what is kept and how often a thread comes round. Imports everything below.
"""
