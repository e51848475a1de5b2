"""Who is judged when, and what may open; pure.

Read `presentation` first (one person in front of the camera), then `grant` (what may open) with
`conditions` (the degraded states) and `patience` (repeated declines), `admission`, `limits`,
`schedule`. Imports recognition and below.
"""
