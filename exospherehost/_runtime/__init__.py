"""The runtime: claims states, executes their nodes and reports the outcomes."""
