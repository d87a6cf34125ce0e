"""The pure rules of the embedded state manager: no I/O, no clock, no storage."""
