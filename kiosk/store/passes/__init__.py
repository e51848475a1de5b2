"""Visitor passes that were issued here, and the uses of those that were shown here."""
