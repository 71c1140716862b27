"""``python -m kanad_server`` is ``kanad``."""

from kanad_server.cli import main

if __name__ == "__main__":
    main()
