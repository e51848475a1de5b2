"""Photographs of strangers, decoded and searched for barcodes in processes that hold nothing worth having.

Read decoder.py (this side), worker.py (the other side), confinement.py (what the other side may do). An edge: row of
store, capture and networks in the import rule.
"""
