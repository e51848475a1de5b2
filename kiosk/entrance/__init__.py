"""One person at the door, from frames to an opening.

Read `judge` first (one presentation), then `decide` (its decision)
and `news` (who hears of it). Imports device and below.
"""
