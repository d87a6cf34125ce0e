"""SQLite, in one file or in memory."""
