"""What `make check` proves beyond linters: valid policies, one version, pages that say what the code says."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from secret_replicator.errors import PolicyError
from secret_replicator.policy import parse_policy
from tools import docs

ROOT = Path(__file__).parent.parent
POLICIES = ("functions/policy.toml", "local/policy.toml")


VERSIONS = {
    "template.yaml": r"^  Version:\n    Description: .*\n    Value: (.*)$",
    "functions/secret_replicator/__init__.py": r'^VERSION = "(.*)"$',
}
"""Where the version of pyproject.toml stands again: a template and a function can read no other file."""


def problems(root: Path = ROOT) -> Iterator[str]:
    """Yield what is wrong with the policies and the version of the repository in `root`."""
    for name in POLICIES:
        try:
            parse_policy((root / name).read_bytes(), name)
        except PolicyError as error:
            yield str(error)
    version = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    for name, pattern in VERSIONS.items():
        if (found := re.findall(pattern, (root / name).read_text("utf-8"), re.MULTILINE)) != [version]:
            there = ", ".join(found) or "not there"
            yield f"{name}: its version is {there}, that of pyproject.toml {version}"


def main() -> int:
    """Print every problem to standard error; return the exit code."""
    found = [*problems(), *(problem for page in docs.pages() for problem in docs.problems(page))]
    found += [problem for source in docs.shown_sources() for problem in docs.wording_problems(source)]
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
