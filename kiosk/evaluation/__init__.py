"""Error rates with intervals, measured on photographs and recordings whose truth is known.

Of matches: read `photographs`, `acquire`, `pairs`, `match`, `search`, `scale`, then `plots` and `report`. Of attacks:
`pad_clips` (what a recording is), `pad_replay` (one clip through the judge), `pad_rates`, `pad_report`, `pad_record`.
Imports entrance and below.
"""
