"""What template.yaml says of the function: read with chosen parameters, before anything is deployed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from local.errors import LocalError
from local.process.environment import ROOT

TEMPLATE = ROOT / "template.yaml"

_NO_VALUE = "AWS::NoValue"


@dataclass(frozen=True)
class Function:
    """The ReplicatorFunction as Lambda would run it."""

    handler: str
    timeout_seconds: int
    memory_megabytes: int
    environment: Mapping[str, str]


def read_template() -> Any:  # noqa: ANN401  whatever YAML has
    """Return template.yaml as it is written: `!Ref Queue` becomes {"Ref": "Queue"}."""
    return parse(TEMPLATE.read_text("utf-8"))


def parse(template: str) -> Any:  # noqa: ANN401  whatever YAML has
    return yaml.load(template, _Loader)  # noqa: S506  it is a SafeLoader


def replicator_function(parameters: Mapping[str, str], resources: Mapping[str, str]) -> Function:
    """Return the function for these parameters; `resources` says what `!Ref` of a logical ID is.

    Raise LocalError for what this small reader does not know: it is not CloudFormation.
    """
    template = read_template()
    declared = template["Parameters"]
    defaults = {name: str(facts["Default"]) for name, facts in declared.items() if "Default" in facts}
    known = {**defaults, **parameters, **resources}
    properties = template["Resources"]["ReplicatorFunction"]["Properties"]
    variables = properties["Environment"]["Variables"]
    return Function(
        handler=_resolved(properties["Handler"], known),
        timeout_seconds=int(_resolved(properties["Timeout"], known)),
        memory_megabytes=int(_resolved(properties["MemorySize"], known)),
        environment={
            name: _resolved(value, known) for name, value in variables.items() if value != {"Ref": _NO_VALUE}
        },
    )


def _resolved(value: object, known: Mapping[str, str]) -> str:
    match value:
        case {"Ref": str(name)} if name in known:
            return known[name]
        case {"Join": [",", {"Ref": str(name)}]} if name in known:
            return known[name]  # a list parameter is given as it is joined again: with commas
        case str() | int():
            return str(value)
    raise LocalError(
        f"local/function/template.py cannot resolve {value!r} as a fact of the function in template.yaml"
    )


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's YAML: `!Ref Queue` becomes {"Ref": "Queue"}."""


def _tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    match node:
        case yaml.ScalarNode():
            return {suffix: loader.construct_scalar(node)}
        case yaml.SequenceNode():
            return {suffix: loader.construct_sequence(node, deep=True)}
    raise LocalError(f"local/function/template.py cannot read !{suffix} in template.yaml")


_Loader.add_multi_constructor("!", _tagged)
