"""The state manager's client: graphs, triggers and runs, asynchronous and synchronous."""
