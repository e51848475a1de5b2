"""The outbox sent, lists pulled, second opinions asked.

Read `policy` first (what leaves), then `sender`, `client`, `puller`. Imports entrance and below.
"""
