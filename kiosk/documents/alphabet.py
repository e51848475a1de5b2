"""The characters of a machine-readable zone, in one order for the network, the layouts and the check digits."""

from __future__ import annotations

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
FILLER = "<"
ALPHABET = LETTERS + DIGITS + FILLER
"""A character's value in a check digit is 10 + its place for a letter, the digit itself, and 0 for the filler."""
