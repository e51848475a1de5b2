"""The command line: one function a command.

Read `main` first. Imports everything.
"""
