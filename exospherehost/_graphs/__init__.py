"""Graphs: the models that users fill in."""
