"""Pages that repeat code or template are written from them; links and words of all pages are checked.

`python -m tools.docs` writes the generated parts in place; `make check` compares them.
A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import ast
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import typer

from local.function.template import read_template
from replicas.cli import app
from tools.rules import row
from tools.rules import rules as model_rules

ROOT = Path(__file__).parents[1]
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)
_OLD_WORDS = re.compile(
    r"(?<!dead\s)(?<!dead-)\bletters?\b|\bmend(s|ed|ing)?\b|\bslips? of the pen\b|\bneeds? (you|a person)\b"
    r"|\bstandings?\b|\brings?\b|\bsee before you leap\b|\bor a wall\b|\bmust be a text\b"
    r"|\bis not known here\b|\bdo(es)? not count\b|\bthis disk\b|\b(nobody|no event) (asks|told)\b"
    r"|\b(first|next|last|second) looks?\b|\blook(s|ed)? at again\b|\bHave done what\b"
    r"|\bdoors?\b|\btold\b|\b(is|are|was|were|be) cut\b|\bnot looked at\b",
    re.IGNORECASE,
)
_NOT_CHECKED_FOR_WORDS = ("CHANGELOG.md",)


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [tuple(columns)]
    lines += [("---",) * len(lines[0]), *map(tuple, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def parameters() -> str:
    """Return the template's parameters with default and description."""
    rows = (
        (f"`{name}`", _default(facts.get("Default")), facts["Description"])
        for name, facts in read_template()["Parameters"].items()
    )
    return table(("Parameter", "Default", "Meaning"), rows)


def _default(value: object) -> str:
    if value is None:
        return "required"
    return f"`{value}`" if value != "" else "empty"


def alarms() -> str:
    """Return the template's alarms with what their descriptions say."""
    rows = []
    for name, resource in read_template()["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            meaning, _, rest = resource["Properties"]["AlarmDescription"].partition(" Do: ")
            rows.append((f"`{name}`", meaning, rest.rpartition(". ")[0]))
    return table(("Alarm", "What it means", "What to do"), rows)


def commands() -> str:
    """Return what `--help` says of every command."""
    group = typer.main.get_command(app)
    parts = []
    for name in sorted(group.commands):  # type: ignore[attr-defined]
        command = group.commands[name]  # type: ignore[attr-defined]
        options = (
            (f"`{', '.join(each.opts)}`", (each.help or "").replace("\n", " ").replace("|", "\\|"))
            for each in command.params
            if getattr(each, "help", None)
        )
        text = " ".join((command.help or "").split("\f")[0].split())
        parts.append(f"### {name}\n\n{text}\n\n{table(('Option', 'Meaning'), options)}")
    return "\n".join(parts)


def rules(*sources: str) -> str:
    """Return the strict model's rules that are known in one of these ways."""
    columns = ("What AWS does", "Known how", "What follows here", "Held by")
    return table(columns, (row(rule) for rule in model_rules() if rule.source in sources))


PARTS: Mapping[str, Callable[[], str]] = {
    "parameters": parameters,
    "alarms": alarms,
    "commands": commands,
    "rules": partial(rules, "Documented", "Seen"),
    "worlds": partial(rules, "Unknown"),
}


def generated(text: str) -> str:
    """Return the page with its generated parts as the code says them now."""
    return _PART.sub(lambda part: f"{part[1]}{PARTS[part[2]]()}{part[3]}", text)


def pages() -> list[Path]:
    """Return every Markdown page that git tracks or would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def problems(page: Path) -> Iterator[str]:
    """Yield what is wrong with a page: a generated part, a link, a word."""
    text = page.read_text("utf-8")
    if generated(text) != text:
        yield f"{page}: not what code and template say: run python -m tools.docs"
    prose = _CODE.sub(" ", text)
    for found in _LINK.finditer(prose):
        yield from _dead_link(page, found[1])
    if page.name not in _NOT_CHECKED_FOR_WORDS:
        yield from (
            f"{page}: {found.group()!r} is not the field's word" for found in _OLD_WORDS.finditer(prose)
        )


def wording_problems(source: Path) -> Iterator[str]:
    """Yield each old word in what a module, the template or the report shows to a person."""
    for text in _shown_texts(source):
        for found in _OLD_WORDS.finditer(text):
            yield f"{source}: {found.group()!r} is not the field's word, in {text.strip()!r}"


def _shown_texts(source: Path) -> Iterator[str]:
    text = source.read_text("utf-8")
    if source.suffix == ".yaml":
        yield from re.findall(r"^\s*[A-Z]\w*Description: ?(?:>-?)?\s*(.*(?:\n {8,}.*)*)", text, re.MULTILINE)
        yield from re.findall(r"^ +Description: ?(.*)$", text, re.MULTILINE)
    elif source.suffix == ".j2":
        yield from re.sub(
            r"<style>.*?</style>|<[^>]*>|{[{%#].*?[}%#]}", "\n", text, flags=re.DOTALL
        ).splitlines()
    else:
        yield from _strings(ast.parse(text))


def _strings(tree: ast.AST) -> Iterator[str]:
    """Yield the strings of a module that are sentences: no docstrings, no keys."""
    nodes = [*ast.walk(tree)]
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        if isinstance(node.value, str) and (" " in node.value.strip() or node.value[:1].isupper()):
            yield node.value


def shown_sources() -> list[Path]:
    """Return every file whose texts a person reads in outputs, help, alarms, errors or the report."""
    folders = (ROOT / name for name in ("functions", "replicas", "local"))
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".j2")]
    return [*sorted(found), ROOT / "template.yaml"]


def _dead_link(page: Path, link: str) -> Iterator[str]:
    path, _, anchor = link.partition("#")
    if "://" in path or path.startswith("mailto:"):
        return
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        yield f"{page}: dead link {link}"
    elif anchor and target.suffix == ".md" and anchor not in _anchors(target.read_text("utf-8")):
        yield f"{page}: no such heading {link}"


def _anchors(text: str) -> set[str]:
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def main() -> None:
    """Write the generated parts of every page in place."""
    for page in pages():
        text = page.read_text("utf-8")
        if (new := generated(text)) != text:
            page.write_text(new, "utf-8")


if __name__ == "__main__":
    main()
