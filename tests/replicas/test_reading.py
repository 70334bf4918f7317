"""Reading a whole Region: every call once, never too many at a time, in little memory, and patiently."""

import os
import re
import signal
import sys
import threading
import weakref
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Barrier, Event
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local.secrets_manager.model import THROTTLED, Call, Fault
from replicas.aws.connection import MAX_CONNECTIONS, Connection
from replicas.aws.deployment import Deployment
from replicas.commands.plan import make
from replicas.commands.steps import Totals
from replicas.inventory.inventory import Reading, read
from replicas.options import Choice
from replicas.terminal import Screen
from secret_replicator import gateway
from secret_replicator.gateway import Gateway
from secret_replicator.models import Secret
from secret_replicator.policy import parse_policy
from tests.support.desk import Desk
from tests.support.fakes.account import STACK, Answer
from tests.support.world import HOME, POLICY, World, make_world


def deployment_of(world: World) -> Deployment:
    """Return a deployment whose calls are answered in process."""
    config = Config(max_pool_connections=MAX_CONNECTIONS)
    connection = Connection(boto3.Session(region_name=HOME), None, None, config)
    world.secrets.attach(connection.secrets)
    return Deployment(
        world.app.settings, parse_policy(POLICY), Gateway(connection.secrets), connection, "replicator"
    )


def fill(world: World, secrets: int, every: int) -> None:
    """Add secrets with long tags, of which some are selected and none has its replicas."""
    tags = {f"tag-{number}": "x" * 200 for number in range(10)}
    for number in range(secrets):
        selected = {"replicate-to": "eu-west-1 us-west-2"} if number % 10 < every else {}
        other = {"environment": "test"}
        world.secrets.add_secret(HOME, f"many/{number}", value=None, tags=tags | other | selected)


class Held:
    """Counts the secrets, as read from AWS, that are in memory at the same time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most, self._now = 0, 0
        self._lock = threading.Lock()
        made = gateway.secret_of

        def noted(*arguments: Any) -> Secret:
            secret = made(*arguments)
            weakref.finalize(secret, self._count, -1)
            self._count(1)
            return secret

        monkeypatch.setattr(gateway, "secret_of", noted)

    def _count(self, change: int) -> None:
        with self._lock:
            self._now += change
            self.most = max(self.most, self._now)


@pytest.mark.slow
def test_ten_thousand_secrets_are_read_in_a_call_per_page_and_selected_secret_and_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    fill(world, 10_000, every=3)
    held = Held(monkeypatch)
    region = make(deployment_of(world), Choice(), Screen())
    # The list is filtered by tag keys, and all of these have one.
    assert len(world.calls("ListSecrets")) == 100
    assert len(world.calls("DescribeSecret")) == 3_000
    assert Totals([region]).steps["add"] == 6_000
    # A page, what the calls under way began with, and their answers.
    assert held.most <= 100 + 100 + 100 + 10


def test_never_more_than_a_hundred_requests_are_under_way(desk: Desk) -> None:
    for number in range(300):
        desk.world.add(f"s/{number}", "eu-west-1")
    answer, two, begun = desk.account.answer, Barrier(2), count()

    def answer_two_at_once(method: str, path: str, headers: Mapping[str, str], body: str) -> Answer:
        if headers.get("X-Amz-Target", "").endswith(".DescribeSecret") and next(begun) < 2:
            two.wait(20)
        return answer(method, path, headers, body)

    desk.account.answer = answer_two_at_once  # type: ignore[method-assign]
    assert "300 to add" in desk.run("plan").stdout
    assert 1 < desk.account.most_at_once <= 100
    assert desk.account.calls["secretsmanager:DescribeSecret"] == 300


@pytest.mark.slow
def test_throttling_is_waited_out_and_said(desk: Desk) -> None:
    """Of 40 secrets, 60 answers in all: one at least is throttled more often than botocore tries."""
    for number in range(40):
        desk.world.add(f"s/{number}", "eu-west-1")
    desk.world.secrets.fail_next("DescribeSecret", *[THROTTLED] * 60)
    desk.world.secrets.fail_next("ListSecrets", THROTTLED)
    result = desk.run("plan", AWS_MAX_ATTEMPTS="2")
    assert (result.exit_code, "40 to add" in result.stdout) == (0, True)
    assert re.search("AWS throttles: waited 61 times", result.stderr)


def test_a_secret_that_is_listed_twice_is_described_once(tmp_path: Path) -> None:
    """As when it changes between two pages."""
    world = make_world(tmp_path)
    world.add("a", "eu-west-1")
    deployment = deployment_of(world)
    listed = world.secrets.listing.page

    def twice(*arguments: object) -> dict[str, object]:
        page = listed(*arguments)  # type: ignore[arg-type]
        return page | {"SecretList": page["SecretList"] * 2}

    world.secrets.listing.page = twice  # type: ignore[method-assign, assignment]
    assert len([*read(deployment, Choice(), Reading(), lambda _: None)]) == 1


def test_ctrl_c_ends_at_once_with_a_sentence(desk: Desk) -> None:
    for number in range(300):
        desk.world.add(f"s/{number}", "eu-west-1")

    def interrupt(call: Call, _: object) -> Fault | None:
        if call.operation == "DescribeSecret" and len(desk.world.calls("DescribeSecret")) == 5:
            raise KeyboardInterrupt
        return None

    # In the same thread as the list: what Ctrl-C interrupts is the main thread.
    desk.world.secrets.faults = interrupt
    with pytest.raises(KeyboardInterrupt):
        [*read(deployment_of(desk.world), Choice(), Reading(), lambda _: None)]
    assert len(desk.world.calls("DescribeSecret")) < 300


def test_ctrl_c_is_exit_code_130(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("replicas.commands.plan.make", stop)
    result = desk.run("plan")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.endswith("Stopped. Nothing was written.\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hanging", "profiles"),
    [
        pytest.param("secretsmanager:DescribeSecret", ["--profile=one"], id="one account, a secret"),
        pytest.param("cloudformation:DescribeStacks", ["--profile=one", "--profile=two"], id="two accounts"),
    ],
)
def test_ctrl_c_does_not_wait_for_calls_that_hang(
    desk: Desk, tmp_path: Path, hanging: str, profiles: list[str]
) -> None:
    """A Region that does not answer: botocore waits for half a minute, ten times."""
    desk.world.add("a", "eu-west-1")
    begun, over = Event(), Event()

    def hang() -> None:
        begun.set()
        over.wait(60)

    desk.account.before[hanging] = hang
    keys = f"aws_access_key_id = a\naws_secret_access_key = b\nendpoint_url = {desk.account.url}\n"
    config = tmp_path / "config"
    config.write_text(f"[profile one]\n{keys}[profile two]\n{keys}", "utf-8")
    code = "from replicas.cli import main; main()"
    policy = str(desk.world.app.settings.policy_file)
    options = ["--stack", STACK, "--region", HOME, "--policy", policy, *profiles]
    with Popen(
        [sys.executable, "-c", code, "status", *options],
        env={"AWS_CONFIG_FILE": str(config), "PATH": os.environ["PATH"]},
        stdout=PIPE,
        stderr=PIPE,
        text=True,
    ) as process:
        try:
            assert begun.wait(60)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=20)[1]
        finally:
            over.set()
            process.kill()
    assert (process.returncode, said.splitlines()[-1]) == (130, "Stopped.")
