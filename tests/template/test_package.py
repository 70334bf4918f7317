"""What `make package` promises: a plain template, the same bytes again, upgrades that keep what is there."""

import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.template.stack import declared, deployed
from tools.package import ARTIFACT, MAX_TEMPLATE_BYTES, ROOT, archive, package, packaged_template

RELEASED = yaml.safe_load((Path(__file__).parent / "released.yaml").read_text("utf-8"))
REPLACING = {"QueueName", "FifoQueue", "LogGroupName", "LogGroupClass"}
"""Properties of these that make a new resource in place of the old one when they change."""


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return yaml.safe_load(packaged_template("code.zip"))


def test_the_template_needs_no_transform(plain: dict[str, Any]) -> None:
    """StackSets with service-managed permissions run none, and nest no stacks."""
    assert "Transform" not in plain
    assert "Fn::Transform" not in str(plain)
    types = {resource["Type"] for resource in plain["Resources"].values()}
    assert not [
        kind for kind in types if kind.startswith(("AWS::Serverless", "AWS::CloudFormation", "Custom"))
    ]


def test_the_template_is_that_which_all_these_tests_hold(plain: dict[str, Any]) -> None:
    tested = declared()
    function = plain["Resources"]["ReplicatorFunction"]["Properties"]
    tested["Resources"]["ReplicatorFunction"]["Properties"]["Code"] = function["Code"]
    assert plain["Resources"] == tested["Resources"]
    assert plain["Conditions"] == tested["Conditions"]
    assert plain["Outputs"] == tested["Outputs"]
    added = {name: plain["Parameters"].pop(name) for name in ("CodeBucketPrefix", "CodeKey")}
    assert plain["Parameters"] == tested["Parameters"]
    assert (added["CodeKey"]["Default"], "Default" in added["CodeBucketPrefix"]) == ("code.zip", False)


def test_the_code_is_in_a_bucket_of_the_functions_own_region(plain: dict[str, Any]) -> None:
    assert plain["Resources"]["ReplicatorFunction"]["Properties"]["Code"] == {
        "S3Bucket": {"Fn::Sub": "${CodeBucketPrefix}-${AWS::Region}"},
        "S3Key": {"Ref": "CodeKey"},
    }


def test_the_template_fits_into_one_call() -> None:
    assert len(packaged_template("code.zip").encode()) <= MAX_TEMPLATE_BYTES


@pytest.mark.slow
def test_two_builds_have_the_same_bytes(tmp_path: Path) -> None:
    """The second is built elsewhere, later, from nothing."""
    built = tmp_path / "build"
    options = ["--template-file", str(ROOT / "template.yaml"), "--build-dir", str(built)]
    command = ["sam", "build", *options, "--config-file", str(ROOT / "samconfig.toml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT / "tools/sam")
    assert done.returncode == 0, done.stderr
    template, code = package(tmp_path / "first", ARTIFACT)
    template_again, code_again = package(tmp_path / "second", built / "ReplicatorFunction")
    assert code.name == code_again.name, "run make build: what it made may be older than functions/"
    assert code.read_bytes() == code_again.read_bytes()
    assert template.read_bytes() == template_again.read_bytes()


def test_the_archive_has_what_runs_and_nothing_of_this_machine(tmp_path: Path) -> None:
    code = archive(ARTIFACT)
    assert str(ROOT).encode() not in code
    (tmp_path / "code.zip").write_bytes(code)
    with zipfile.ZipFile(tmp_path / "code.zip") as made:
        names = made.namelist()
        assert made.testzip() is None
        assert {entry.date_time for entry in made.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert made.read("policy.toml") == (ROOT / "functions" / "policy.toml").read_bytes()
    assert names == sorted(names)
    modules = {path.relative_to(ARTIFACT).as_posix() for path in ARTIFACT.rglob("*.py")}
    assert not modules - {*names}, "what imports in Lambda must be there"


def test_a_new_archive_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    (artifact / "code.py").write_text("1")
    _, first = package(tmp_path / "dist", artifact)
    (artifact / "code.py").write_text("2")
    template, second = package(tmp_path / "dist", artifact)
    assert {*(tmp_path / "dist").iterdir()} == {template, second}
    assert first != second, "CloudFormation sees new code by its new key"


@pytest.mark.parametrize("name", sorted(RELEASED["stateful"]))
def test_an_upgrade_keeps_what_holds_messages_and_logs(name: str) -> None:
    resource = deployed().resources.get(name)
    assert resource, f"{name} has another name now: its content would be left behind"
    assert resource["Type"] == RELEASED["stateful"][name]
    assert not REPLACING & resource["Properties"].keys()


def test_every_resource_that_holds_something_is_in_the_list() -> None:
    kinds = {*RELEASED["stateful"].values()}
    assert {name for name, item in deployed().resources.items() if item["Type"] in kinds} == {
        *RELEASED["stateful"]
    }


def test_a_queue_that_is_replaced_all_the_same_is_kept() -> None:
    policies = {
        name: (resource["DeletionPolicy"], resource["UpdateReplacePolicy"])
        for name, resource in deployed().resources.items()
        if resource["Type"] == "AWS::SQS::Queue"
    }
    assert policies == {"DeadLetterQueue": ("Retain", "Retain"), "ReplicationQueue": ("Delete", "Retain")}
