"""`python -m exospherehost.cli`, which is the same as `exospherehost`."""

from exospherehost.cli import main

if __name__ == "__main__":
    main()
