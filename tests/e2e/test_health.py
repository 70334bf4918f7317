"""`replicas doctor` and `replicas smoke`, as a person runs them, on the deployed stack."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.aws import observe
from local.aws.ministack import clients
from local.process.environment import HOME_REGION
from local.stack import ALLOWED_REGIONS, STACK, Stack
from replicas.aws.dead_letters import count_messages
from replicas.commands.smoke import PREFIX
from tests.e2e.world import TIMEOUT_SECONDS, World, service

pytestmark = pytest.mark.xdist_group("e2e")

REPLICAS = [str(Path(sys.prefix) / "bin" / "replicas")]


def replicas(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*REPLICAS, *arguments, "--stack", STACK]
    return subprocess.run(command, env=stack.aws.environment, capture_output=True, text=True, check=False)


def doctor(stack: Stack) -> dict[str, list[dict[str, str]]]:
    """Return the findings by verdict."""
    findings = json.loads(replicas(stack, "doctor", "--json").stdout)["findings"]
    return {
        verdict: [finding for finding in findings if finding["status"] == verdict]
        for verdict in ("good", "bad", "not checkable")
    }


def texts(findings: list[dict[str, str]]) -> str:
    return "\n".join(f"{finding['text']} - {finding['remedy']}" for finding in findings)


@pytest.fixture
def trail(deployed: Stack) -> Iterator[str]:
    """A trail that logs management events."""
    service(deployed, "s3").create_bucket(Bucket="trail")
    cloudtrail = service(deployed, "cloudtrail")
    cloudtrail.create_trail(Name="all", S3BucketName="trail", IsMultiRegionTrail=True)
    cloudtrail.start_logging(Name="all")
    yield "all"
    cloudtrail.delete_trail(Name="all")


def left_over(stack: Stack) -> list[str]:
    secrets = (clients(stack.aws, region).secrets for region in (HOME_REGION, *ALLOWED_REGIONS))
    listed = [client.list_secrets(IncludePlannedDeletion=True)["SecretList"] for client in secrets]
    return [secret["Name"] for page in listed for secret in page if secret["Name"].startswith(PREFIX)]


@pytest.fixture
def quiet(deployed: Stack) -> Stack:
    """The stack when nothing waits in its queue any more."""
    assert observe.until(
        lambda: count_messages(deployed.clients.sqs, deployed.queue_url) == 0, TIMEOUT_SECONDS
    )
    return deployed


def test_the_doctor_names_what_is_missing_and_what_to_do(quiet: Stack) -> None:
    found = doctor(quiet)
    bad = texts(found["bad"])
    assert "No trail logs management events: there is none of this Region" in bad
    assert not found["not checkable"]
    assert "Nobody hears of an alarm - deploy with AlarmEmail or AlarmTopicArn" in bad
    good = texts(found["good"])
    assert "All 4 rules are enabled and have their target" in good
    assert "Enabled in this account: eu-central-1, eu-west-1, us-west-2" in good
    assert "The deployed policy is functions/policy.toml" in good
    assert not found["not checkable"]


def test_a_line_each_says_what_to_do_and_scripts_get_an_exit_code(deployed: Stack) -> None:
    done = replicas(deployed, "doctor")
    assert done.returncode == 1
    assert not done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith(("good ", "bad ", "not checkable ")) for line in lines)
    assert all(". To do: " in line for line in lines if not line.startswith("good "))


def test_the_doctor_sees_what_is_fixed_and_what_breaks(deployed: Stack, trail: str) -> None:
    clients = deployed.clients
    (rule,) = [rule for rule in clients.events.list_rules()["Rules"] if "SecretChangedRule" in rule["Name"]]
    clients.events.disable_rule(Name=rule["Name"])
    clients.sqs.send_message(QueueUrl=deployed.dead_letter_queue_url, MessageBody="a doctor's letter")
    try:
        found = doctor(deployed)
    finally:
        clients.events.enable_rule(Name=rule["Name"])
        (dead_letter,) = [
            dead_letter
            for dead_letter in observe.dead_letters(clients.sqs, deployed.dead_letter_queue_url)
            if dead_letter.body == "a doctor's letter"
        ]
        clients.sqs.delete_message(
            QueueUrl=deployed.dead_letter_queue_url, ReceiptHandle=dead_letter.receipt_handle
        )
    assert f"The trail {trail} logs management events of us-east-1" in texts(found["good"])
    bad = texts(found["bad"])
    assert (
        f"SecretChangedRule is disabled: its events are lost - aws events enable-rule --name {rule['Name']}"
        in bad
    )
    assert "1 dead letter: not all secrets are where they must be - replicas redrive --dry-run" in bad


def test_smoke_follows_its_secret_to_every_region_and_leaves_nothing_behind(relayed: World) -> None:
    done = replicas(relayed.stack, "smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    for region in ALLOWED_REGIONS:
        assert re.search(rf"^ +[0-9.]+ s  {region} is InSync$", done.stdout, re.MULTILINE)
    assert "with the tag replicate-to=all" in done.stdout
    assert "Removed secret-replicator-smoke/" in done.stdout
    assert left_over(relayed.stack) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "kill"])
def test_an_interrupted_smoke_leaves_nothing_behind(deployed: Stack, number: signal.Signals) -> None:
    """Nobody tells the function of the secret here: it is waited for until the signal comes."""
    with subprocess.Popen(
        [*REPLICAS, "smoke", "--stack", STACK],
        env=deployed.aws.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as smoke:
        assert observe.until(lambda: bool(left_over(deployed)), TIMEOUT_SECONDS)
        smoke.send_signal(number)
        smoke.send_signal(number)
        out, err = smoke.communicate(timeout=TIMEOUT_SECONDS)
    assert smoke.returncode == 128 + number, out + err
    assert "Removed secret-replicator-smoke/" in out
    assert err == "Stopped.\n"
    assert left_over(deployed) == []
