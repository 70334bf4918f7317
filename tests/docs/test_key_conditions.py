"""Keys may be used through Secrets Manager alone, in each partition: what the role and the pages allow."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session

from tests.template.stack import deployed
from tests.template.test_template import granted

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
_JSON = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


def conditions() -> Iterator[Any]:
    """Yield each condition on how a key is used."""
    role = granted(deployed(KmsKeyArns="arn:aws-cn:kms:cn-north-1:123456789012:key/1"))
    yield pytest.param(role["kms:Decrypt"]["Condition"], id="the function's role")
    for page in ("fail-over.md", "use-your-own-keys.md"):
        for block in _JSON.findall((HOW_TO / page).read_text("utf-8")):
            document = json.loads(block)
            for statement in document.get("Statement", [document]):
                if "kms:Decrypt" in statement["Action"] and "secretsmanager" in str(
                    statement.get("Condition")
                ):
                    yield pytest.param(statement["Condition"], id=f"{page}: {statement['Sid']}")


def through(region: str, partition: str, service: str) -> str:
    """Return what kms:ViaService is in a Region: it ends as the partition's names do."""
    data = Session().get_component("data_loader").load_data("endpoints")
    (suffix,) = (found["dnsSuffix"] for found in data["partitions"] if found["partition"] == partition)
    return f"{service}.{region}.{suffix}"


@pytest.mark.parametrize("partition", REGIONS)
@pytest.mark.parametrize("condition", [*conditions()])
def test_a_key_is_used_through_secrets_manager_in_every_partition(condition: Any, partition: str) -> None:
    patterns = condition["StringLike"]["kms:ViaService"]
    patterns = [patterns] if isinstance(patterns, str) else patterns
    secrets_manager, storage = (
        through(REGIONS[partition], partition, service) for service in ("secretsmanager", "s3")
    )
    assert any(fnmatchcase(secrets_manager, pattern) for pattern in patterns)
    assert not any(fnmatchcase(storage, pattern) for pattern in patterns)
