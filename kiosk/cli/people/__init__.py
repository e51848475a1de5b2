"""Commands that look after the people enrolled: arguments.py says what they take, keep.py does it."""
