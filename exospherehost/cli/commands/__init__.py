"""The commands, one module for each, loaded when it is run."""
