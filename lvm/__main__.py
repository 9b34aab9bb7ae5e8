"""`python -m lvm` is the command `lvm`."""

import sys

from lvm.cli import main

sys.exit(main())
