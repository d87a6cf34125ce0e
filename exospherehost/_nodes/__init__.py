"""Nodes: what users write, and the checks of it."""
