"""Requests and responses: the only caller of the generated operations."""
