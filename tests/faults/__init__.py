"""Faults against a real server, with the client's own journal as the witness (docs/reliability.md)."""
