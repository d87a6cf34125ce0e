"""Programs of users: loading, running and stopping them."""
