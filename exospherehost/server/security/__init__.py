"""API keys, sealed secrets, TLS and limits on wrong keys."""
