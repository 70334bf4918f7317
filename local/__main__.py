"""`python -m local`: until it is known what to clean up, Ctrl-C just ends it."""

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)

from local.cli import main  # noqa: E402  loading takes a moment, and Ctrl-C must be quiet in it

sys.exit(main())
