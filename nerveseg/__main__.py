"""``python -m nerveseg`` is the ``nerveseg`` command."""

import sys

from nerveseg.cli import main

sys.exit(main())
