"""The acceptance of one kiosk at its own door: what an installer is guided through, and the report that comes of it.

Read `plan` (the steps, and how many presentations a figure needs), `trial` (the steps so far, folded from what was
noted), `findings` (rates with bounds, and the thresholds recommended), which are pure; then `journal` (what was noted,
on the disk), `wizard` (what both shells call), `report` and `signature`. Imports entrance and below.
"""
