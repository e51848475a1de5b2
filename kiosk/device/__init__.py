"""A call answered, a person enrolled: recogniser, gallery and store together.

Read `device` first, then `calls` and `enrol`; `live_gallery` follows the store, `thresholds` says who is listed.
Imports the edges and below.
"""
