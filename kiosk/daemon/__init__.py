"""Who is wired to whom, and which thread does what.

Read `kiosk` first. Imports everything below.
"""
