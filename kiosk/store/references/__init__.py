"""What the gallery loads. Read `reader`, then `blocks` (the same made ready, sealed, for a large gallery's start)."""
