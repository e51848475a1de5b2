"""One person at the door, from frames to an opening.

Read `judge` first (frames → presentation → decision → opening), then `look` (one frame), `liveness_step` (a person, or
a picture of one?), `deciding` and `ruling` (who it is), `decide` (the decision, saved), `factor_step` (a card or a PIN
beside the face), `opening` (what is asked before anything opens), `passing` (who goes through), `expected` (whom the
mode waits for), `pending` (an approval that waits), `screen` (what is told of it) and `news` (who hears of it).
Imports device and below.
"""
