"""What an owner does with a whole store: back it up, restore it, change its key, check it.

Read `backup` first. Imports the rest of the store and below.
"""
