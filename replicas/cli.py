"""`replicas`: from the operator's command line to an exit code.

Commands are imported when they run: boto3 alone takes half a second, which `--help` need not wait for.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from importlib.metadata import version
from inspect import Parameter, Signature, signature
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from replicas import options
from replicas.terminal import Screen

READING = (
    "**Permissions:** cloudformation:DescribeStacks on the stack; lambda:GetFunctionConfiguration and, "
    "to compare its policy, GetFunction on its function; secretsmanager:ListSecrets and DescribeSecret"
)
NOTHING = "Nothing is written, and no value can be read."
READING_DEAD_LETTERS = (
    f"; sqs:GetQueueAttributes, ReceiveMessage and ChangeMessageVisibility on the DeadLetterQueue. {NOTHING}"
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(name: str, epilog: str) -> Callable[[Callable[..., int]], None]:
    """Make the function a command that exits with what it returns, or as its errors say.

    Beside the screen it takes dataclasses: Typer sees an option for each field that is declared as one.
    """

    def register(function: Callable[..., int]) -> None:
        _, *groups = signature(function).parameters.values()

        def run(**values: Any) -> None:  # noqa: ANN401  as Typer read them
            from replicas.exit_codes import exit_code

            screen = Screen()
            made = {group.name: _made(group.annotation, values) for group in groups}
            raise typer.Exit(exit_code(lambda: function(screen, **made), screen))

        flat = [option for group in groups for option in _flat(group.annotation)]
        run.__doc__ = function.__doc__
        run.__signature__ = Signature(flat)  # type: ignore[attr-defined]
        run.__annotations__ = {option.name: option.annotation for option in flat}
        app.command(name, epilog=epilog)(run)

    return register


def _flat(group: Any) -> Iterator[Parameter]:  # noqa: ANN401  a dataclass
    """Yield the options of a dataclass, and of those that it consists of."""
    for field in fields(group):
        if is_dataclass(field.type):
            yield from _flat(field.type)
        elif declared := field.metadata.get(options.TYPER):
            default = field.default if field.default_factory is MISSING else field.default_factory()
            option = Parameter(field.name, Parameter.KEYWORD_ONLY, annotation=Annotated[field.type, declared])
            yield option if default is MISSING else option.replace(default=default)


def _made(group: Any, values: Mapping[str, object]) -> object:  # noqa: ANN401  a dataclass
    """Return the dataclass of the options; raise BadParameter."""
    return group(
        **{
            field.name: _made(field.type, values) if is_dataclass(field.type) else values[field.name]
            for field in fields(group)
            if is_dataclass(field.type) or field.name in values
        }
    )


def main() -> None:
    """Run the command line. What is no command's own, as the help, may find no place either."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A tag may have what a terminal's encoding has not: Python does so for standard error.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except OSError as error:
        from replicas.exit_codes import not_written

        raise SystemExit(not_written(error, Screen())) from None
    except SystemExit as ended:
        from replicas.exit_codes import STOPPED
        from replicas.interrupts import leave

        if ended.code == STOPPED:
            leave(STOPPED)
        raise


def _show_version(chosen_options: bool) -> None:  # noqa: FBT001  as typer calls it
    if chosen_options:
        typer.echo(f"replicas {version('secret-replicator')}")
        from replicas.aws.connection import deployed_version

        if deployed := deployed_version():
            typer.echo(deployed)
        raise typer.Exit


@app.callback()
def replicas(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar="",
            help="Show the version of this command and, where the stack can be read, of the deployed one.",
            is_eager=True,
            callback=_show_version,
        ),
    ] = False,
) -> None:
    """See and steer a deployed Secret Replicator.

    Begin with `replicas status`: is everything where it should be? `replicas explain SECRET` says why a
    secret is not, `replicas plan` what a sweep would do.
    """


@command(
    "plan",
    epilog="**Exit codes:** 0 done; 1 an error; 2 wrong usage; 130 stopped by Ctrl-C. With "
    "--detailed-exitcode: 0 nothing to add, retry or remove; 2 there is, or wrong usage. "
    f"{READING}. {NOTHING}",
)
def plan_command(screen: Screen, *, chosen: options.PlanOptions, scope: options.Scope) -> int:
    """Show what a sweep would do, secret by secret, and what it would cost.

    Reads all secrets that the policy selects, as AWS reports them now, and decides with the function's own
    code: what is added (+), retried (~), waited for (.), removed (-), reported as drift (?) or as a problem
    (!). Nothing is written.

    Before the first deployment, say which Regions you would allow:

    `replicas plan --policy functions/policy.toml --allowed-regions eu-west-1,us-west-2`
    """
    from replicas.commands import plan

    return plan.run(chosen, scope, screen)


@command(
    "apply",
    epilog="**Exit codes:** 0 all InSync, or nothing to do; 1 an error; 2 wrong usage, or some are dead "
    f"letters or drift now; 130 stopped by Ctrl-C. {READING}; sqs:SendMessage and GetQueueAttributes on the "
    "ReplicationQueue; logs:FilterLogEvents on the function's log group. No value can be read.",
)
def apply_command(screen: Screen, *, chosen: options.ApplyOptions, scope: options.ApplyScope) -> int:
    """Carry out what `replicas plan` shows: send these secrets to the queue, and follow them to InSync.

    It writes to no secret itself: the function does, by its own policy and within its own budget. Shows the
    plan and asks first. It can be stopped at any time: what was sent is worked on all the same.
    """
    _require_yes(
        as_json=chosen.as_json,
        answered=chosen.yes,
        remedy="add --yes to send the secrets, or see them with `replicas plan`",
    )
    from replicas.commands import apply

    return apply.run(chosen, scope, screen)


@command(
    "status",
    epilog="**Exit codes:** 0 all InSync; 1 an error; 2 wrong usage, or something needs attention: a dead "
    "letter, or a secret that cannot be where its tags ask for; 3 some only wait; 130 stopped by Ctrl-C. "
    f"{READING}{READING_DEAD_LETTERS}",
)
def status_command(screen: Screen, *, chosen: options.StatusOptions, scope: options.Scope) -> int:
    """Show whether every selected secret is where it should be.

    A row for each secret, a column for each Region, with AWS's own statuses; `missing` is where AWS lists no
    replica that must be there. What needs attention comes first.

    AWS keeps no time of a status. "Since" is when the function first received the message that is now a dead
    letter, else when the secret was last changed: its status may be younger, or older.
    """
    from replicas.commands import status

    return status.run(chosen, scope, screen)


@command(
    "explain",
    epilog="**Exit codes:** 0 explained; 1 there is no such secret, or an error; 2 wrong usage; 130 stopped "
    f"by Ctrl-C. {READING}{READING_DEAD_LETTERS}",
)
def explain_command(screen: Screen, *, chosen: options.ExplainOptions, scope: options.AccountScope) -> int:
    """Say why a secret is, or is not, where it is.

    Its tags, what each rule of the policy requests or forbids and why one does not match, the key of
    each Region and where it is named, AWS's own status and message, the last dead letter, the deployed
    switches that matter, and what happens next. Typos in tags and names are pointed out.
    """
    if chosen.tags is not None and not scope.allowed_regions:
        raise typer.BadParameter("say with --allowed-regions which Regions are allowed", param_hint="--tags")
    from replicas.commands import explain, validate

    return (explain.run if chosen.tags is None else validate.foretell)(chosen, scope, screen)


@command(
    "validate",
    epilog="**Exit codes:** 0 valid, perhaps with warnings; 1 not valid, or not to be read; 2 wrong usage; "
    "130 stopped by Ctrl-C. Needs no permissions and no network.",
)
def validate_command(screen: Screen, *, chosen: options.ValidateOptions) -> int:
    """Say everything that is wrong with a policy. Without AWS, for CI.

    A Region that this version of botocore does not know is a warning: AWS may have made it since.
    """
    from replicas.commands import validate

    return validate.run(chosen, screen)


@command(
    "redrive",
    epilog="**Exit codes:** 0 moved, or nothing to move; 1 something failed, or no dead letter is what was "
    "named; 2 wrong usage; 130 stopped by Ctrl-C. **Permissions:** cloudformation:DescribeStacks on the "
    "stack; sqs:GetQueueAttributes, ReceiveMessage, ChangeMessageVisibility, DeleteMessage, "
    "StartMessageMoveTask, ListMessageMoveTasks and CancelMessageMoveTask on the DeadLetterQueue; "
    "sqs:GetQueueAttributes and SendMessage on the ReplicationQueue; for --fixed also "
    "lambda:GetFunctionConfiguration, GetFunction and secretsmanager:DescribeSecret.",
)
def redrive_command(screen: Screen, *, chosen: options.RedriveOptions, at: options.StackOptions) -> int:
    """Move dead letters back into the queue, once their cause is fixed.

    A dead letter is a secret that could not be replicated, with the reason. This command shows them, asks,
    and moves them into the ReplicationQueue, where the function works on them again with a full set of
    attempts. A dead letter whose cause is not fixed comes back with its reason: moving too many does no harm.

    It can be stopped at any time: a dead letter is deleted only after it was sent. At worst its secret is
    checked twice. Message bodies are never shown.
    """
    _require_yes(
        as_json=chosen.as_json,
        answered=chosen.yes or chosen.dry_run,
        remedy="add --yes to move the dead letters, or --dry-run to see them",
    )
    from replicas.commands import redrive

    return redrive.run(chosen, at, screen)


@command(
    "sweep",
    epilog="**Exit codes:** 0 every selected secret is accounted for, and there is no dead letter; 1 not all "
    "is accounted for, or an error; 2 wrong usage, or there are dead letters; 130 stopped by Ctrl-C. "
    "**Permissions:** cloudformation:DescribeStacks on the stack; lambda:GetFunctionConfiguration on its "
    "function; sqs:SendMessage and GetQueueAttributes on the ReplicationQueue; logs:FilterLogEvents on the "
    "function's log group.",
)
def sweep_command(screen: Screen, *, chosen: options.SweepOptions, at: options.StackOptions) -> int:
    """Check every selected secret now, and say what became of each.

    A sweep runs every day by itself; this starts one more: after installing, after a change of the policy, or
    after trouble. It is followed through the function's log until every secret that the policy selects has
    converged, was skipped for a reason, or is in the DeadLetterQueue.

    Ctrl-C ends the following, not the sweep. Two sweeps at the same time do no harm.
    """
    from replicas.commands import sweep

    return sweep.run(chosen, at, screen)


@command(
    "report",
    epilog=f"**Exit codes:** 0 written; 1 an error; 2 wrong usage; 130 stopped by Ctrl-C. {READING}, also in "
    f"the replica Regions; kms:DescribeKey there{READING_DEAD_LETTERS}",
)
def report_command(screen: Screen, *, chosen: options.ReportOptions, scope: options.Scope) -> int:
    """Write one page that shows where every secret is, for an auditor or a dashboard screen.

    Coverage by Region and by any tag, what waits or failed and since when, drift, cost, and every secret,
    with what `replicas verify` finds in each Region beside its status: where both disagree comes first. The
    page needs nothing but itself: no script, no other file, no network.
    """
    from replicas.commands.report import page

    return page.run(chosen, scope, screen)


@command(
    "doctor",
    epilog="**Exit codes:** 0 all good; 1 something is bad, or an error; 2 wrong usage; 3 something "
    "could not be checked, and nothing is bad; 130 stopped by Ctrl-C. **Permissions:** cloudformation:"
    "DescribeStackResources and DescribeStacks; lambda:GetFunctionConfiguration, GetFunction and "
    "GetFunctionRecursionConfig; cloudtrail:DescribeTrails, GetTrailStatus and GetEventSelectors; "
    "events:DescribeRule and ListTargetsByRule; account:ListRegions; kms:DescribeKey; iam:GetRole and "
    "SimulatePrincipalPolicy; sqs:GetQueueAttributes; cloudwatch:DescribeAlarms and GetMetricStatistics. "
    "Only DescribeStackResources and GetFunctionConfiguration are needed for an answer. Nothing is written.",
)
def doctor_command(screen: Screen, *, chosen: options.DoctorOptions, scope: options.DeployedScope) -> int:
    """Say whether all is there that the stack depends on, and whether it needs attention.

    Checks the function's settings, its version, a trail, the rules, the queues' key, recursive loop
    detection, the Regions and keys of policy.toml, the deployed policy, dead letters, stuck messages and
    alarms. A line each: good, bad with what to do, or not checkable with the permission that is missing. Of
    several stacks what is good is only counted.
    """
    from replicas.commands.doctor import command as doctor

    return doctor.run(chosen, scope, screen)


@command(
    "smoke",
    epilog="**Exit codes:** 0 InSync in every Region, and removed again; 1 not, or an error; 2 wrong usage; "
    "130 or 143 stopped. **Permissions:** cloudformation:DescribeStackResources; "
    "lambda:GetFunctionConfiguration; secretsmanager:CreateSecret, TagResource, DescribeSecret, "
    "RemoveRegionsFromReplication and DeleteSecret.",
)
def smoke_command(screen: Screen, *, chosen: options.SmokeOptions, at: options.StackOptions) -> int:
    """Make one tagged secret, follow it until it is InSync in every Region, and remove it again.

    Says when each Region was seen with which status. Reads no value. Touches no other secret. Also when it is
    interrupted, all that it made is removed.
    """
    from replicas.commands import smoke

    return smoke.run(chosen, at, screen)


@command(
    "verify",
    epilog="**Exit codes:** 0 every wanted replica is there and current; 1 an error, or a Region that could "
    "not be read; 2 wrong usage, or one needs attention: missing, behind, standalone, another secret, key "
    f"unusable; 3 some are under way; 130 stopped by Ctrl-C. {READING}, also in the replica Regions; "
    f"kms:DescribeKey there. With --from only secretsmanager:ListSecrets, there. {NOTHING}",
)
def verify_command(screen: Screen, *, chosen: options.VerifyOptions, scope: options.Scope) -> int:
    """Prove from the other side that the replicas are there and hold the current version.

    Lists the primaries and what each Region really holds, 100 secrets a call, and compares version ids. It
    does not believe the primary's list of replicas: where AWS says InSync and the copy is behind or missing,
    that comes first.
    """
    from replicas.commands.failover import verify

    return verify.run(chosen, scope, screen)


@command(
    "promote",
    epilog="**Exit codes:** 0 promoted and held, or nothing to promote; 1 something failed; 2 wrong usage; "
    "130 stopped by Ctrl-C. **Permissions:** secretsmanager:ListSecrets, DescribeSecret, "
    "StopReplicationToReplica and TagResource in the replica Region alone. No value can be read.",
)
def promote_command(
    screen: Screen, *, chosen: options.PromoteOptions, account: options.ConnectionOptions
) -> int:
    """Make replicas writable in their own Region, without the Region that is gone.

    Lists the replicas of one Region, asks, and calls StopReplicationToReplica for each, within the budget.
    Each gets the tag secret-replicator:hold, so that no stack touches it. Needs no stack and no policy. A
    journal is written before each call; stopped at any time, the same command goes on where it was.
    """
    _require_yes(as_json=chosen.as_json, answered=chosen.yes or chosen.dry_run)
    from replicas.commands.failover import promote

    return promote.run(chosen, account.access(chosen.replica_region), screen)


@command(
    "rejoin",
    epilog="**Exit codes:** 0 all rejoined, or nothing to rejoin; 1 something failed; 2 wrong usage, or some "
    "are left for you to decide; 130 stopped by Ctrl-C. **Permissions:** secretsmanager:ListSecrets, "
    "DescribeSecret, ReplicateSecretToRegions, RemoveRegionsFromReplication, TagResource and UntagResource, "
    "in both Regions; for keys of your own kms:Decrypt on the primary's, kms:GenerateDataKey and "
    "kms:Encrypt on the replica's. They are yours, never the function's. No value can be read.",
)
def rejoin_command(
    screen: Screen, *, chosen: options.RejoinOptions, account: options.ConnectionOptions
) -> int:
    """Come back after a promotion, and overwrite nothing that changed by accident.

    Compares both sides by version ids and the journal. What is unchanged is replicated from home again. What
    changed is left and named, until you say which side to keep. Each step is in the journal, both sides are
    compared again before one is overwritten, and the hold tag goes last.
    """
    _require_yes(as_json=chosen.as_json, answered=chosen.yes or chosen.dry_run)
    from replicas.commands.failover import rejoin

    return rejoin.run(chosen, account.access(chosen.replica_region), screen)


def _require_yes(
    *, as_json: bool, answered: bool, remedy: str = "add --yes, or see what would be done with --dry-run"
) -> None:
    if not answered and (as_json or not (sys.stdin and sys.stdin.isatty())):
        raise typer.BadParameter(
            f"nobody is asked with --json, or where standard input is not a terminal: {remedy}",
            param_hint="--yes",
        )
