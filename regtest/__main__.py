"""`python -m regtest`."""

import sys

from regtest.cli import main

sys.exit(main())
