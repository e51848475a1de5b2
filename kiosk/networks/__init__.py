"""From a manifest to a checked file to a running network.

Read `inference` first, then `download`. Imports settings and below.
"""
