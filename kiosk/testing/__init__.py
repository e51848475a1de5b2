"""The fakes that ship: for hardware and faults only.

Read `fakes` first. Imports entrance and below.
"""
