"""`make package`: one plain CloudFormation template and one code archive, the same bytes from the same tree.

StackSets with service-managed permissions take no transform:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stacksets-custom-execution-role.html
"""

import hashlib
import io
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from samtranslator.translator.transform import transform  # type: ignore[import-untyped]
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "template.yaml"
ARTIFACT = ROOT / ".aws-sam" / "build" / "ReplicatorFunction"
FOLDER = ROOT / "dist"

MAX_TEMPLATE_BYTES = 51_200
"""What CloudFormation takes without a bucket: --template-body.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
"""

CODE_PARAMETERS: dict[str, dict[str, str]] = {
    "CodeBucketPrefix": {
        "Type": "String",
        "Description": "Buckets with the code are named PREFIX-REGION. Lambda takes code from its own Region",
        "AllowedPattern": "^[a-z0-9][a-z0-9.-]{1,40}$",
    },
    "CodeKey": {
        "Type": "String",
        "Description": "Key of the code archive in each bucket. It changes with the code",
        "AllowedPattern": "^[A-Za-z0-9!_.*'()/-]+$",
    },
}

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_PATHS_OF_THIS_MACHINE = ("bin", "__pycache__", ".lock", "INSTALLER", "RECORD", "REQUESTED")
"""What installers leave behind: scripts and lists that name this machine, and nothing that runs in Lambda."""


class _NoManagedPolicies:
    """SAM asks for AWS's managed policies by name; this template uses none."""

    def load(self) -> dict[str, str]:
        return {}


def plain_template(code: dict[str, Any], template: Path = TEMPLATE) -> dict[str, Any]:
    """Return the template as CloudFormation gets it from SAM, with the function's code at `code`."""
    declared = yaml_parse(template.read_text("utf-8"))
    # SAM wants a value of each parameter that has no default, and a Region. It writes none of them.
    values = {name: "" for name, facts in declared["Parameters"].items() if "Default" not in facts}
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    for resource in declared["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": "replaced", "Key": "below"}
    plain: dict[str, Any] = transform(declared, values, _NoManagedPolicies())
    for resource in plain["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"]["Code"] = code
        if resource["Type"] == "AWS::CloudWatch::Dashboard":
            body = resource["Properties"]["DashboardBody"]
            body["Fn::Sub"] = re.sub(r"\n *", "", body["Fn::Sub"])  # its indentation is for us alone
    return plain


def packaged_template(code_key: str, template: Path = TEMPLATE) -> str:
    """Return the plain template as text. The archive is `code_key` in a bucket of each Region."""
    code = {"S3Bucket": {"Fn::Sub": "${CodeBucketPrefix}-${AWS::Region}"}, "S3Key": {"Ref": "CodeKey"}}
    plain = plain_template(code, template)
    plain["Parameters"] |= CODE_PARAMETERS | {"CodeKey": CODE_PARAMETERS["CodeKey"] | {"Default": code_key}}
    groups = plain["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    groups.append({"Label": {"default": "Where its code is"}, "Parameters": [*CODE_PARAMETERS]})
    # With few line breaks and little indentation, because CloudFormation's limit is in bytes.
    return yaml.dump(
        plain, Dumper=_NoAliases, sort_keys=False, allow_unicode=True, width=1000, default_flow_style=None
    )


def archive(artifact: Path = ARTIFACT) -> bytes:
    """Return what `sam build` made as a zip. Its bytes depend on the files' names and contents alone.

    Nothing is compressed: zlib's versions differ in their output.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        for path in _files(artifact):
            entry = zipfile.ZipInfo(path.relative_to(artifact).as_posix(), _EARLIEST)
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = 0o100644 << 16
            made.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def package(folder: Path = FOLDER, artifact: Path = ARTIFACT) -> tuple[Path, Path]:
    """Write template and archive into `folder`, in place of earlier ones; return their paths."""
    code = archive(artifact)
    name = f"secret-replicator-{hashlib.sha256(code).hexdigest()[:16]}.zip"
    folder.mkdir(exist_ok=True)
    for earlier in folder.glob("secret-replicator-*.zip"):
        earlier.unlink()
    (folder / name).write_bytes(code)
    template = folder / "secret-replicator.yaml"
    template.write_text(packaged_template(name), "utf-8")
    return template, folder / name


def _files(artifact: Path) -> Iterator[Path]:
    for path in sorted(artifact.rglob("*"), key=lambda path: path.relative_to(artifact).as_posix()):
        if path.is_file() and not {*path.relative_to(artifact).parts} & {*_PATHS_OF_THIS_MACHINE}:
            yield path


class _NoAliases(yaml.SafeDumper):
    """Writes what occurs twice twice: CloudFormation's own tools do not all know YAML's aliases."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def main() -> int:
    """Package what was built, or with an argument write the plain template there; return the exit code."""
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(packaged_template("code.zip"), "utf-8")
        return 0
    for path in package():
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
