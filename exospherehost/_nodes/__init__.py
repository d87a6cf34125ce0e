"""Nodes: the base class that users extend, and the checks of node classes."""
