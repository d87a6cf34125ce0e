"""Makes `python -m exospherehost.cli` the same as `exospherehost`."""

from exospherehost.cli import main

if __name__ == "__main__":
    main()
