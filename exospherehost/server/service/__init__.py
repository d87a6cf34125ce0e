"""The operations of the state manager, on any store."""
