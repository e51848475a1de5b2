"""Doors that go by one another across the kiosks of a fleet: passages, an interlock, lockdowns.

Read `agreement` first (who may open now, without any clock they share), then `doors` (what the entrance asks), then
`exchange` (the way over one hub) and `passages`.
"""
