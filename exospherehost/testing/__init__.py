"""A test kit for programs that use the SDK."""
