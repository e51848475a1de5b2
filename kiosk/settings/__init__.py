"""Every setting, from file and environment to a frozen section.

Read `sections` first (what there is), then `config` (where it comes from). Imports the pure rooms.
"""
