"""Bytes between machines: messages, their encoding, framed connections, keys."""
