"""`python -m ops`: the operator's command line."""

import sys
from pathlib import Path

# The function's own code is not a package that is installed, and PYTHONPATH may not be set here.
sys.path.append(str(Path(__file__).parent.parent / "functions"))

from ops.cli import app

app(prog_name="replicas")
