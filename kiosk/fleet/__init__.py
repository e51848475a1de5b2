"""Many kiosks of one owner: who belongs, what is sealed for whom, and how it travels. Beside api and cloud.

Reading order: `identity.py` (a kiosk's keys), `roster.py` (who is a member, signed by the owner), `envelope.py` (a
document sealed and signed), `member.py` (a kiosk of a fleet: opens what arrives, seals what leaves), then the carriers
`link.py` (NATS, with `health.py`) and `stick.py`, the daemon's `sync.py`, what the pages show (`seen.py`, `view.py`),
and the owner's side: `admin.py`, `hub.py`.
"""
