"""Sessions of several steps while they are open; what ended is a record of the decision log like any call's."""
