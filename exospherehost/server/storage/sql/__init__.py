"""SQL that every database shares."""
