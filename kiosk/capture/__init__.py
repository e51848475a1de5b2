"""A camera in a process of its own, and its newest frame.

Read `process` first, then `sources`, `slot`, `watch`. Imports settings and below.
"""
