"""What `make check` proves beyond linters: valid policies, and pages that say what code and template say."""

import sys
from collections.abc import Iterator
from pathlib import Path

from secret_replicator.errors import PolicyError
from secret_replicator.policy import parse_policy
from tools import docs

ROOT = Path(__file__).parent.parent
POLICIES = ("functions/policy.toml", "local/policy.toml")


def problems(root: Path = ROOT) -> Iterator[str]:
    """Yield what is wrong with the policies of the repository in `root`."""
    for name in POLICIES:
        try:
            parse_policy((root / name).read_text("utf-8"), name)
        except PolicyError as error:
            yield str(error)


def main() -> int:
    """Print every problem to standard error; return the exit code."""
    found = [*problems(), *(problem for page in docs.pages() for problem in docs.problems(page))]
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
