"""``python -m challenger`` is the command ``challenger``."""

import sys

from challenger.cli import main

if __name__ == "__main__":
    sys.exit(main())
