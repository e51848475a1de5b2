"""What the two sides say to each other, besides the memory they share."""

from __future__ import annotations

import struct

# Bytes of the picture, whether HEIC is taken, whether half its edges will do; and where it is no file, but grey levels
# that are searched for codes: width and height, else 0, and whether PDF417 codes are looked for.
REQUEST = struct.Struct("<I??HH?")
STATUS = struct.Struct("<i")  # how a child ended, as wait gives it
MOST_REPLY = 4000  # bytes of JSON, less than a pipe takes at once
MOST_CODES_BYTES = 1 << 20  # of JSON where else pixels lie: 8 codes of 4,096 characters, each of 12 bytes at most
MOST_SENTENCE = 500  # characters, of which JSON may make six bytes each
WALLS = ("landlock", "seccomp")  # around a process that decodes; it names those that stand
