"""Degraded states, the clock's standing, and the service manager.

Read `monitor` first. Imports settings and below.
"""
