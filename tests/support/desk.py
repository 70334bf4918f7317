"""An operator at the command line, beside the function and its world."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from replicas.cli import app
from secret_replicator.settings import Settings
from tests.support.fakes.account import STACK, FakeAccount, serving
from tests.support.world import HOME, World


@dataclass
class Desk:
    """The commands, as a person runs them where the output is no terminal."""

    world: World
    account: FakeAccount

    def run(self, command: str, *arguments: str, stack: bool = True, **env: str) -> Result:
        policy = str(self.world.app.settings.policy_file)
        options = ["--endpoint-url", self.account.url]
        if "--region" not in arguments:
            options += ["--region", HOME]
        if "--policy" not in arguments and command != "apply":
            options += ["--policy", policy]
        if stack:
            options += ["--stack", STACK]
        return CliRunner().invoke(app, [command, *options, *arguments], env={"COLUMNS": "400", **env})

    def rows(self, command: str, *arguments: str, **options: Any) -> list[list[str]]:
        """Return the cells of what the command prints as a table."""
        result = self.run(command, *arguments, **options)
        assert not result.exception or isinstance(result.exception, SystemExit), result.exception
        return [line.split("\t") for line in result.stdout.splitlines() if "\t" in line][1:]


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the function's environment as the template writes it."""
    return {
        "ALLOWED_REGIONS": ",".join(settings.allowed_regions),
        "MODE": settings.mode,
        "ALLOW_OVERWRITE": str(settings.allow_overwrite).lower(),
        "PRUNE_REPLICAS": str(settings.prune_replicas).lower(),
        "PRUNE_IDLE_DAYS": str(settings.prune_idle_days),
        "MAX_ATTEMPTS": str(settings.max_attempts),
        "QUEUE_URL": settings.queue_url,
        "DEAD_LETTER_QUEUE_URL": settings.dead_letter_queue_url,
        "POLICY_FILE": "/var/task/policy.toml",
    }


@contextmanager
def at_desk(world: World) -> Iterator[Desk]:
    """Serve the world over HTTP to the commands until the end of the block."""
    account = FakeAccount(world.secrets, world.queues, environment_of(world.app.settings))
    with serving(account):
        yield Desk(world, account)


def policy_file(folder: Path, text: str) -> str:
    """Write a policy, and return its path."""
    file = folder / "other.toml"
    file.write_text(text, "utf-8")
    return str(file)
