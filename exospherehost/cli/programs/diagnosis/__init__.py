"""What `exospherehost doctor` looks for, each kind of trouble in a module."""
