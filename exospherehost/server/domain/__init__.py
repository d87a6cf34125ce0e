"""Records, the store's interface, the clock, ids and errors."""
