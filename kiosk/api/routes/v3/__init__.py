"""The routes of Didit's contract: calls, sessions, documents, blocklist."""
