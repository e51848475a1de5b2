"""From pixels to faces, templates and scores; pure: no file, clock or runtime.

Read `pipeline` first (the line), then `photo`, `image`, `detect`, `quality`,
`embed`, `match`. Imports types and errors alone.
"""
