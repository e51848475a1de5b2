"""Papers about people's data: what the settings in force keep, and what is held about one person.

Read `statements` (each setting that matters, as a sentence), `report` (the paper), `page` (either as a page to print),
`export` (one person's data). The words are in en.json and de.json. Row: below the shells, above the evaluation.
"""
