"""The rules of the strict Secrets Manager, read from its docstrings: what AWS does, and how that is known."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODEL, CONTRACT = ROOT / "local/secrets_manager", ROOT / "tests/contract"
_FIELD = re.compile(r"^(Documented|Seen|Unknown|Here|Held by): ", re.MULTILINE)
_TEST = re.compile(r"^def (\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Rule:
    """What one docstring says. `switch` names the world that it is, if nobody documents it."""

    what: str
    source: str
    evidence: str
    here: str
    tests: tuple[str, ...]
    switch: str = ""


def rules() -> Iterator[Rule]:
    """Yield the rules, module by module; raise ValueError for one without a source or without a test."""
    for module in sorted(MODEL.glob("*.py")):
        for text, name in _docstrings(ast.parse(module.read_text("utf-8"))):
            if _FIELD.search(text):
                yield read(text, name)


def _docstrings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each text that stands for itself, with the name that is declared just before it."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    for body in sorted(bodies, key=lambda body: body[0].lineno):
        for before, node in pairwise([None, *body]):
            match before, node:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    yield _unwrapped(text), name
                case None, ast.Expr(value=ast.Constant(value=str(text))):
                    yield _unwrapped(text), ""


def _unwrapped(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines()]
    return re.sub(r"\n(?!\n|Documented|Seen|Unknown|Here|Held by)(?<!\n\n)", " ", "\n".join(lines))


def read(text: str, switch: str = "") -> Rule:
    """Return the rule of a docstring; raise ValueError for any but one source, and for missing tests."""
    what, *parts = _FIELD.split(text)
    said = {name: part.strip().removesuffix(".") for name, part in zip(parts[::2], parts[1::2], strict=True)}
    sources = [name for name in ("Documented", "Seen", "Unknown") if name in said]
    tests = tuple(said.get("Held by", "").split(", "))
    if len(sources) != 1 or not all(_file(test) for test in tests):
        raise ValueError(f"{what.strip()} It needs one source, and tests that are there: {tests}")
    what, source = what.strip().removesuffix("."), sources[0]
    return Rule(what, source, said[source], said.get("Here", ""), tests, switch)


@cache
def _functions() -> dict[str, str]:
    """Return the files of the contract's functions, by name."""
    files = sorted(CONTRACT.glob("test_*.py"))
    return {
        name: f"contract/{file.name}" for file in files for name in _TEST.findall(file.read_text("utf-8"))
    }


def _file(test: str) -> str | None:
    """Return the file below tests/ that has a test, or that is named itself."""
    whole = test if test.endswith(".py") and (CONTRACT.parent / test).is_file() else None
    return _functions().get(test, whole)


def row(rule: Rule) -> tuple[str, str, str, str]:
    """Return the rule as a row of docs/explanation/what-aws-does.md."""
    evidence = f"[{rule.source.lower()}]({rule.evidence})"
    if rule.source == "Unknown":
        evidence = f"**unknown**: {rule.evidence}" + (f" (`{rule.switch}`)" if rule.switch else "")
    held = ", ".join(f"[{test}](../../tests/{_file(test)})" for test in rule.tests)
    return rule.what, evidence, rule.here, held
