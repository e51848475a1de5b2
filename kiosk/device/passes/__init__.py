"""Visitor passes: whose signature is believed (keys), a pass made (issue), and what is printed of it (picture)."""
