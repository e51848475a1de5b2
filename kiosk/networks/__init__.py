"""From a manifest to a checked file to a running network.

Read `inference` first, then `download`, `self_test`, `liveness` and `detection` (photographs told from people).
Imports settings and below.
"""
