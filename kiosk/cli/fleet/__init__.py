"""`kiosk fleet`: what it takes (arguments), the owner's side (owner), a kiosk's (member), a hub's (hub)."""
