"""A call answered, a person enrolled: recogniser, gallery and store together.

Read `device` first. Imports the edges and below.
"""
