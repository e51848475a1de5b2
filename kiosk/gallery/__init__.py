"""Every reference, searched exactly; pure.

Read `gallery` first (who is in it), then `snapshot` and `draft` (what a search sees, and the next of it), `search` and
`codes` (how it is searched), `rates` (what a threshold means), `audit` (who looks like whom).
Imports recognition and below.
"""
