"""`replicas smoke`: from what is asked to what is shown and an exit code."""

from collections.abc import Callable, Sequence
from pathlib import Path

from replicas import interrupts
from replicas.aws.connection import Connection, connect, default_stack
from replicas.aws.deployment import policy_file
from replicas.commands import smoke
from replicas.commands.doctor.stack import Stack, read_stack
from replicas.errors import OperatorError
from replicas.exit_codes import FAILED, OK, exit_code
from replicas.options import Access
from replicas.terminal import Screen
from secret_replicator.policy import ALL


def run_smoke(  # noqa: PLR0913, PLR0917  an option each
    stack: str | None,
    access: Access,
    screen: Screen,
    regions: Sequence[str],
    timeout_seconds: float,
    policy: Path | None = None,
    *,
    observe: bool,
    as_json: bool = False,
) -> int:
    """Try one secret; return the exit code: 0 if it was InSync everywhere and nothing is left of it."""

    def run(aws: Connection, name: str) -> int:
        found = read_stack(aws, name, policy_file(policy, local=access.local))
        trial = smoke.Trial(
            connection=aws,
            regions=_regions(found, regions),
            tag_key=found.policy.tag_key,
            # A tag has at most 256 characters: all Regions may be more.
            tag_value=" ".join(sorted({*regions})) or ALL,
            say=screen.say if as_json else screen.show,
            timeout_seconds=timeout_seconds,
            observe=observe,
        )
        code = OK if smoke.run(trial) else FAILED
        if as_json:
            screen.write_json(smoke.document(trial))
        return code

    return _run(run, stack, access, screen)


def _run(run: Callable[[Connection, str], int], stack: str | None, access: Access, screen: Screen) -> int:
    with interrupts.installed():
        return exit_code(lambda: run(connect(access), stack or default_stack()), screen, "Stopped.")


def _regions(found: Stack, options: Sequence[str]) -> list[str]:
    allowed = {*found.environment.get("ALLOWED_REGIONS", "").split(",")} - {"", found.connection.region}
    if unknown := {*options} - allowed:
        raise OperatorError(
            f"{', '.join(sorted(unknown))}: not in AllowedRegions; choose among {', '.join(sorted(allowed))}"
        )
    if not allowed:
        raise OperatorError(
            "AllowedRegions names no other Region than the stack's own: there is nothing to try"
        )
    return sorted({*options} or allowed)
