"""What the kiosks of one owner share, as rows of the store; empty, and not even imported, on a kiosk without a fleet.

Reading order: `document.py` (what is shared of a person, and how two versions become one; pure), `capture.py` (an act
here becomes part of this kiosk's document), `shared.py` (what arrived is taken, `taking.py` one person's, `holding.py`
whose), `people.py` (and becomes people), `hubs.py` (how far each hub was read and written), `orders.py` (what the owner
ordered), `duplicates.py` (two people who may be one).
"""
