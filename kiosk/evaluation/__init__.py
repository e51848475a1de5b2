"""How often does the kiosk err: error rates with intervals, on photographs whose truth is known.

Reading order: photographs → acquire → pairs → match, search, scale → plots, report. In the import rule: above
entrance, below api.
"""
