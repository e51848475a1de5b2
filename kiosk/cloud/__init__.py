"""The outbox sent, lists pulled, second opinions asked.

Read `policy` first (what leaves), then `sender`, `connection` (whether anything is asked), `client`, `puller`.
Imports entrance and below.
"""
