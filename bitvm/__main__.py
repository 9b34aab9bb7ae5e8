"""`python -m bitvm` is the command `bitvm`."""

import sys

from bitvm.cli import main

sys.exit(main())
