"""Didit's contract, word for word, in both directions; pure.

Read `contract` first (our answers), then `answers` (theirs) and `webhooks`. Imports recognition and below.
"""
