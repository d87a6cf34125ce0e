"""Databases: opening them, their schema and the stores on them."""
