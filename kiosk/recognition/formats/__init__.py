"""What the bytes of a photograph declare, surveyed before anything is decoded; pure.

Read `kinds` first (what a file is, and what to do about one not taken), then `jpeg`, `png`, `tiff`, `levels`. Imports
types and errors alone, as `recognition` does; `photo` one floor up decides by what they find.
"""
