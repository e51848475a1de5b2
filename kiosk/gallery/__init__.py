"""Every reference, searched exactly; pure.

Read `gallery` first (who is in it), then `search` and `codes` (how it is searched),
`audit` (who looks like whom). Imports recognition and below.
"""
