"""Sessions of several steps: made by a caller, taken by a person on a page, decided here.

Read `documents` (who reads them), `content` (what a session keeps while it is open), `report` (how it is told), then
`runner` (what is done).
"""
