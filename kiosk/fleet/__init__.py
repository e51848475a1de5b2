"""Many kiosks of one owner: who belongs, what is sealed for whom, and how it travels. Beside api and cloud.

Reading order: `identity.py` (a kiosk's keys), `roster.py` (who is a member, signed by the owner), `sealed.py` (how
everything travels), `envelope.py` (a document of a person), `orders.py` with `policy.py` and `settings.py` (what the
owner orders), `member.py` (a kiosk of a fleet: opens what arrives, seals what leaves), then the carriers `link.py`
(NATS) with `health.py`, `heads.py`, `decisions.py` and `carry.py`, and `stick.py`; `updates/`; the daemon's `sync.py`
and `duplicates.py`; what the pages show (`seen.py`, `view.py`, `pairs.py`); and the owner's side: `admin.py`,
`owner.py`, `hub.py`.
"""
