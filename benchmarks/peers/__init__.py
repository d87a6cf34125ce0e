"""Programs that are measured, each run by its path, in the environment of what it measures; nothing imports them."""
