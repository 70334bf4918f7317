"""The deployed stack as CloudFormation sees it: SAM's transform run, parameters and conditions resolved.

Logical IDs stand for what only a deployment knows: `Ref Queue` is "Queue", `GetAtt Queue.Arn` is "Queue.Arn".
"""

import os
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

from tools.package import plain_template

PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": os.environ["AWS_REGION"],
    "AWS::AccountId": "123456789012",
}
DEPLOYED = {"AllowedRegions": "eu-west-1,us-west-2"}
_NO_VALUE = object()


@cache
def transformed() -> dict[str, Any]:
    """Return template.yaml after SAM's transform, with its functions and conditions still unresolved."""
    return plain_template({"S3Bucket": "bucket", "S3Key": "key"})


@dataclass(frozen=True)
class Stack:
    """One deployment: the transformed template with these parameters."""

    parameters: Mapping[str, str]

    @property
    def resources(self) -> dict[str, Any]:
        declared = transformed()["Resources"]
        return {
            name: self.resolved(resource)
            for name, resource in declared.items()
            if "Condition" not in resource or self.holds(resource["Condition"])
        }

    def properties(self, logical_id: str) -> dict[str, Any]:
        return self.resources[logical_id]["Properties"]

    def of_type(self, kind: str) -> dict[str, Any]:
        """Return the properties of every resource of this type, by logical ID."""
        return {name: item["Properties"] for name, item in self.resources.items() if item["Type"] == kind}

    def holds(self, condition: str) -> bool:
        return self._decide(transformed()["Conditions"][condition])

    def refusals(self) -> list[str]:
        """Return why CloudFormation would not take these parameters."""
        return [
            assertion["AssertDescription"]
            for rule in transformed()["Rules"].values()
            for assertion in rule["Assertions"]
            if not self._decide(assertion["Assert"])
        ]

    def resolved(self, value: object) -> Any:
        """Return the value as CloudFormation resolves it."""
        if isinstance(value, list):
            items = [self.resolved(item) for item in value]
            return [item for item in items if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._call(name, argument)
        fields = {key: self.resolved(item) for key, item in value.items()}
        return {key: item for key, item in fields.items() if item is not _NO_VALUE}

    def _call(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._ref(argument)
            case "Fn::GetAtt":
                return argument if isinstance(argument, str) else ".".join(argument)
            case "Fn::Sub":
                return re.sub(r"\$\{([\w:.]+)\}", lambda found: str(self._ref(found[1])), argument)
            case "Fn::Join":
                return str(argument[0].join(self.resolved(argument[1])))
            case "Fn::If":
                return self.resolved(argument[1] if self.holds(argument[0]) else argument[2])
        raise NotImplementedError(name)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        declared = transformed()["Parameters"].get(name)
        if declared is None:
            return self.parameters.get(name, PSEUDO[name]) if name.startswith("AWS::") else name
        text = str(self.parameters.get(name, declared.get("Default")))
        return text.split(",") if declared["Type"] == "CommaDelimitedList" else text

    def _decide(self, condition: Mapping[str, Any]) -> bool:
        ((name, argument),) = condition.items()
        match name:
            case "Condition":
                return self.holds(argument)
            case "Fn::Equals":
                left, right = self.resolved(argument)
                return bool(left == right)
            case "Fn::Contains":
                values, value = self.resolved(argument)
                return value in values
            case "Fn::Not":
                return not self._decide(argument[0])
            case "Fn::And":
                return all(map(self._decide, argument))
            case "Fn::Or":
                return any(map(self._decide, argument))
        raise NotImplementedError(name)


def deployed(**parameters: str) -> Stack:
    """Return the stack deployed with these parameters, and defaults for the rest."""
    return Stack(DEPLOYED | parameters)


def declared() -> dict[str, Any]:
    """Return a copy of the transformed template."""
    return deepcopy(transformed())
