"""Who went through the door, and so who is inside: one module, `passages`."""
