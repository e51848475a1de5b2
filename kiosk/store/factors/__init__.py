"""What a person has and knows beside their face: card and PIN; and who is inside.

Read `factors` (cards, PINs, and what was entered with a decision), then `pins` (their verifiers). All of it is sealed.
"""
