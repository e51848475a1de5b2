"""A release of the owner's, brought to one kiosk and then to the others, and stopped by the first that goes back.

Reading order: `order.py` (what the owner signs), `rollout.py` (whose turn it is; pure), `pieces.py` (the bundle's bytes
by a hub), `shelf.py` and `fetching.py` (the same at a kiosk), `staging.py` (a kiosk's part, from hearing of an update
to saying how it went), `appliance.py` (who installs), `words.py` (what kiosks say of it, signed, for sticks).
"""
