"""Three accounts with a stack each and one that refuses us, in one command, by the role of docs/how-to."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from local.aws import observe
from local.aws.ministack import clients
from local.process.environment import HOME_REGION, ROOT
from local.stack import STACK, Stack, deployed_also
from tests.e2e.world import TIMEOUT_SECONDS, aws_tags

pytestmark = [pytest.mark.xdist_group("e2e, few secrets"), pytest.mark.slow]

AUDITOR = "999988887777"
ACCOUNTS = {"payments": "111111111111", "search": "222222222222", "shop": "333333333333"}
"""On the local AWS an access key of twelve digits is an account of its own."""
REFUSING = "legacy"
EXTERNAL_ID = "a-long-text-that-both-sides-know"
SECRET = "orders/db"
TAGS = {"payments": "us-west-2", "search": "us-west-2", "shop": "eu-wst-1"}


@dataclass(frozen=True)
class Auditor:
    """A person in an account of their own, with a file of the accounts to ask."""

    stack: Stack
    environment: Mapping[str, str]
    folder: Path

    @property
    def page(self) -> Path:
        return self.folder / "report.html"

    @property
    def table(self) -> Path:
        return self.folder / "report.csv"

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        replicas = str(Path(sys.prefix) / "bin" / "replicas")
        options = ["--accounts", str(self.folder / "accounts.toml"), "--stack", STACK]
        return subprocess.run(
            [replicas, command, *options, *arguments],
            env={**self.environment},
            capture_output=True,
            text=True,
            check=False,
        )


def may_be_assumed_by(stack: Stack, account: str, external_id: str) -> None:
    """Deploy the role of docs/how-to in an account."""
    formation = clients(replace(stack.aws, key=account)).cloudformation
    given = {"AuditorPrincipalArn": f"arn:aws:iam::{AUDITOR}:role/auditor", "ExternalId": external_id}
    formation.create_stack(
        StackName="auditor",
        TemplateBody=(ROOT / "docs/how-to/auditor-role.yaml").read_text("utf-8"),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    formation.get_waiter("stack_create_complete").wait(StackName="auditor", WaiterConfig={"Delay": 1})


def credentials_of_the_auditor(stack: Stack) -> dict[str, str]:
    """Return what leads to the auditor's own role, which may do nothing but assume others."""
    own = clients(replace(stack.aws, key=AUDITOR))

    def statement(**more: object) -> str:
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", **more}
        return json.dumps({"Version": "2012-10-17", "Statement": [trust]})

    trust = statement(Principal={"AWS": f"arn:aws:iam::{AUDITOR}:root"})
    arn = own.iam.create_role(RoleName="auditor", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    own.iam.put_role_policy(RoleName="auditor", PolicyName="assume", PolicyDocument=statement(Resource="*"))
    given = own.sts.assume_role(RoleArn=arn, RoleSessionName="auditor")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


def with_a_secret(stack: Stack, to: str) -> None:
    stack.clients.secrets.create_secret(
        Name=SECRET, SecretString="hidden", Tags=aws_tags({"replicate-to": to, "team": "orders"})
    )


def replicated(stack: Stack) -> None:
    stack.clients.sqs.send_message(QueueUrl=stack.queue_url, MessageBody=json.dumps({"secret_id": SECRET}))
    found = stack.clients.secrets.describe_secret
    assert observe.until(
        lambda: observe.statuses(found(SecretId=SECRET)) == {"us-west-2": "InSync"}, TIMEOUT_SECONDS
    )


@pytest.fixture(scope="module")
def auditor(deployed: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Auditor]:
    stacks = {name: deployed_also(deployed, account=account) for name, account in ACCOUNTS.items()}
    for name, stack in stacks.items():
        with_a_secret(stack, TAGS[name])
        may_be_assumed_by(deployed, ACCOUNTS[name], EXTERNAL_ID)
    may_be_assumed_by(deployed, "444444444444", "another-text-than-ours")
    replicated(stacks["payments"])
    folder = tmp_path_factory.mktemp("auditor")
    (folder / "accounts.toml").write_text(
        "".join(
            f'[[accounts]]\nname = "{name}"\nexternal_id = "{EXTERNAL_ID}"\n'
            f'role_arn = "arn:aws:iam::{account}:role/SecretReplicatorAuditor"\n'
            for name, account in {**ACCOUNTS, REFUSING: "444444444444"}.items()
        ),
        "utf-8",
    )
    environment = deployed.aws.environment | credentials_of_the_auditor(deployed)
    return Auditor(deployed, environment, folder)


def rows(output: str) -> list[dict[str, str]]:
    """Return the rows of the table by their titles."""
    titles, *lines = [line.split("\t") for line in output.splitlines() if "\t" in line]
    return [dict(zip(titles, line, strict=True)) for line in lines]


@pytest.fixture(scope="module")
def answers(auditor: Auditor) -> dict[str, subprocess.CompletedProcess[str]]:
    """Return what each command answers for all four."""
    files = ["--html", str(auditor.page), "--csv", str(auditor.table)]
    commands = {command: auditor.run(command) for command in ("status", "plan", "verify")}
    return commands | {"report": auditor.run("report", *files), "doctor": auditor.run("doctor", "--json")}


@pytest.mark.parametrize("command", ["status", "plan", "verify", "doctor", "report"])
def test_one_account_that_refuses_is_a_line_and_exit_code_1(
    answers: Mapping[str, subprocess.CompletedProcess[str]], command: str
) -> None:
    done = answers[command]
    assert f"{REFUSING}: Permission sts:AssumeRole is missing" in done.stderr
    assert f"1 of 4 accounts could not be read: {REFUSING}" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize("command", ["status", "plan", "verify", "report"])
def test_each_account_has_its_totals(
    answers: Mapping[str, subprocess.CompletedProcess[str]], command: str
) -> None:
    lines = [line.partition(": ")[0] for line in answers[command].stdout.splitlines() if "\t" not in line]
    assert [line for line in lines if line in (*ACCOUNTS, REFUSING)] == [*ACCOUNTS, REFUSING]
    assert f"\n{REFUSING}: could not be read\n" in answers[command].stdout


def test_each_account_answers_for_its_own_secrets(
    answers: Mapping[str, subprocess.CompletedProcess[str]],
) -> None:
    found = {row["Account"]: (row["Secret"], row["Status"]) for row in rows(answers["status"].stdout)}
    assert found == {
        "payments": (SECRET, "InSync"),
        "search": (SECRET, "waiting"),
        "shop": (SECRET, "needs attention"),
    }
    planned = [(row["Account"], row["Plan"]) for row in rows(answers["plan"].stdout)]
    assert planned == [("search", "+ add"), ("shop", "! problem")]
    missing = [(row["Account"], row["State"]) for row in rows(answers["verify"].stdout)]
    assert missing == [("search", "missing")]


@pytest.mark.usefixtures("answers")
def test_the_report_tells_the_accounts_apart(auditor: Auditor) -> None:
    with auditor.table.open(encoding="utf-8", newline="") as lines:
        assert {line["account"] for line in csv.DictReader(lines)} == {*ACCOUNTS}
    page = auditor.page.read_text("utf-8")
    assert "4 accounts, 3 stacks." in page
    assert f"<li><bdi>{REFUSING}</bdi>: <bdi>Permission sts:AssumeRole is missing" in page
    for name, in_sync in (("payments", 1), ("search", 0), ("shop", 0)):
        assert f'<bdi>{name}</bdi></th><td class="number">{in_sync}</td><td class="number">1</td>' in page


def test_the_role_may_see_all_that_doctor_checks(
    answers: Mapping[str, subprocess.CompletedProcess[str]],
) -> None:
    """What the role of docs/how-to lacks would be `not checkable`."""
    findings = json.loads(answers["doctor"].stdout)["findings"]
    assert {finding["text"] for finding in findings if finding["status"] == "not checkable"} == {
        # MiniStack takes the rule for every rule: it does not read the parameter that names it.
        "Rules are enabled: the permission events:ListTargetsByRule is missing"
    }
    found = {(finding["account"], finding["primary_region"]) for finding in findings}
    assert found == {(name, HOME_REGION) for name in ACCOUNTS}
