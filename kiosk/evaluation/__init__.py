"""Error rates with intervals, measured on a site's own recordings.

Read `pad_clips` (what a recording is), `pad_replay` (one clip through the judge), `pad_rates`, `pad_report`, then
`pad_record`. Imports entrance and below.
"""
