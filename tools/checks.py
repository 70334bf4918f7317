"""What `make check` proves beyond linters: valid policies, and a README with the template's parameters."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from secret_replicator.errors import PolicyError
from secret_replicator.policy import parse_policy

ROOT = Path(__file__).parent.parent
POLICIES = ("functions/policy.toml", "local/policy.toml")

_ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)


class _TemplateLoader(yaml.SafeLoader):
    """Reads CloudFormation's YAML; what !Ref and its like mean does not matter here."""


_TemplateLoader.add_multi_constructor("!", lambda _loader, _suffix, node: node.value)


def problems(root: Path = ROOT) -> Iterator[str]:
    """Yield what is wrong with the repository in `root`."""
    for name in POLICIES:
        try:
            parse_policy((root / name).read_text("utf-8"), name)
        except PolicyError as error:
            yield str(error)
    template = parameters_in_template((root / "template.yaml").read_text("utf-8"))
    readme = parameters_in_readme((root / "README.md").read_text("utf-8"))
    for name in sorted(template.keys() ^ readme.keys()):
        yield f"README.md and template.yaml do not both have the parameter {name}"
    for name in sorted(template.keys() & readme.keys()):
        if template[name] != readme[name]:
            yield f"README.md says {readme[name]} of {name}, template.yaml says {template[name]}"


def parameters_in_template(text: str) -> dict[str, tuple[str, str]]:
    """Return default and description of each parameter, as the README writes them."""
    template = yaml.load(text, _TemplateLoader)  # noqa: S506  it is a SafeLoader
    return {
        name: (_written(facts.get("Default")), facts["Description"])
        for name, facts in template["Parameters"].items()
    }


def parameters_in_readme(text: str) -> dict[str, tuple[str, str]]:
    """Return default and description of each row of the parameter table."""
    section = text.partition("\n## Parameters\n")[2].partition("\n## ")[0]
    return {name: (default, meaning) for name, default, meaning in _ROW.findall(section)}


def _written(default: object) -> str:
    if default is None:
        return "none"
    return f"`{default}`" if default != "" else "empty"


def main() -> int:
    """Print every problem to standard error; return the exit code."""
    found = [*problems()]
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
