"""The server: a ledger of who owes what, a journal of what was acknowledged, and connections."""
