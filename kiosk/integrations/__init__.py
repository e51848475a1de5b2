"""The door's neighbours: what a house's automation hears of this kiosk, and the little that it may ask.

Read `home_assistant` (which entities there are and what they show; pure), then `mqtt` (the connection); `abis/` stands
behind a MOSIP. Imports entrance and below; nothing here is loaded unless its section of the settings names a neighbour.
"""
