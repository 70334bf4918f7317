"""`replicas smoke`: from what is asked to what is shown and an exit code."""

from collections.abc import Sequence

from replicas import interrupts
from replicas.aws.connection import connect, default_stack
from replicas.aws.deployment import policy_file
from replicas.commands import smoke
from replicas.commands.doctor.stack import Stack, read_stack
from replicas.errors import OperatorError
from replicas.exit_codes import FAILED, OK
from replicas.options import OneStack, SmokeOptions
from replicas.terminal import Screen
from secret_replicator.policy import ALL


def run(options: SmokeOptions, at: OneStack, screen: Screen) -> int:
    """Try one secret; return the exit code: 0 if it was InSync everywhere and nothing is left of it."""
    connection = connect(at.access)
    policy = policy_file(options.policy, local=at.local)
    found = read_stack(connection, at.stack or default_stack(), policy)
    regions = options.to or ()
    trial = smoke.Trial(
        connection=connection,
        regions=_regions(found, regions),
        tag_key=found.policy.tag_key,
        # A tag has at most 256 characters: all Regions may be more.
        tag_value=" ".join(sorted({*regions})) or ALL,
        say=screen.say if options.as_json else screen.show,
        timeout_seconds=options.timeout,
        observe=options.observe,
    )
    with interrupts.installed():
        code = OK if smoke.run(trial) else FAILED
    if options.as_json:
        screen.write_json(smoke.document(trial))
    return code


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
