"""A camera in a process of its own, and its newest frame.

Read `process` and `child` first, then `sources`, `slot`, `watch`. Imports settings and below.
"""
