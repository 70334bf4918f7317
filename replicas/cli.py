"""`replicas`: from the operator's command line to an exit code.

Commands are imported when they run: boto3 alone takes half a second, which `--help` need not wait for.
"""

import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from replicas import options
from replicas.terminal import Screen

if TYPE_CHECKING:
    from replicas.inventory.inventory import Choice

READ_ONLY = (
    "**Permissions:** cloudformation:DescribeStacks on the stack; lambda:GetFunctionConfiguration and, "
    "to compare its policy, GetFunction on its function; secretsmanager:ListSecrets and DescribeSecret"
)
PEEK = (
    "; sqs:ReceiveMessage and ChangeMessageVisibility on the DeadLetterQueue. Nothing is written, and no "
    "value can be read."
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(name: str, epilog: str) -> Callable[[Callable[..., int]], Callable[..., None]]:
    """Make the function a command: its groups of options are flattened, and it exits with what it returns."""
    return lambda function: app.command(name, epilog=epilog)(options.flattened(function))


def main() -> None:
    """Run the command line. What is no command's own, as the help, may find no place either."""
    try:
        app()
    except OSError as error:
        from replicas.exit_codes import not_written

        raise SystemExit(not_written(error, Screen())) from None


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
            is_eager=True,
            callback=_show_version,
            help="Show the version of this command and, where the stack can be read, of the deployed one.",
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
    + READ_ONLY
    + ". Nothing is written, and no value can be "
    "read.",
)
def plan_command(
    *,
    chosen: options.Chosen,
    replica_region: Annotated[
        list[str] | None,
        typer.Option(metavar="REGION", help="Only what concerns replicas in this Region. Repeat it."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Show only what changes from this policy to the other: who gains or loses which Region or "
            "key.",
        ),
    ] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", metavar="", help="Exit with 2 if there is something to do.")
    ] = False,
    as_json: options.Json = False,
    where: options.Everywhere,
) -> int:
    """Show what a sweep would do, secret by secret, and what it would cost.

    Reads all secrets that the policy selects, as AWS reports them now, and decides with the function's own
    code: what is added (+), retried (~), waited for (.), removed (-), reported as drift (?) or as a problem
    (!). Nothing is written.

    Before the first deployment, say which Regions you would allow:

    `replicas plan --policy functions/policy.toml --allowed-regions eu-west-1,us-west-2`
    """
    _require_regions(replica_region or (), "--replica-region")
    _require_allowed(where)
    from replicas.commands import compare, plan, steps

    chosen_options = steps.Options(
        choice=_choice(chosen),
        replica_regions=frozenset(replica_region or ()),
        detailed_exitcode=detailed_exitcode,
        as_json=as_json,
    )
    if against:
        return compare.run(chosen_options, where, against, Screen())
    return plan.run(chosen_options, where, Screen())


@command(
    "apply",
    epilog="**Exit codes:** 0 all InSync, or nothing to do; 1 an error; 2 wrong usage, or some are dead "
    "letters or drift now; 130 stopped by Ctrl-C. "
    + READ_ONLY
    + "; sqs:SendMessage and GetQueueAttributes on the ReplicationQueue; logs:FilterLogEvents on the "
    "function's log group. No value can be read.",
)
def apply_command(
    *,
    chosen: options.Chosen,
    yes: options.Yes = False,
    as_json: options.Json = False,
    stacks: options.Stacks,
) -> int:
    """Carry out what `replicas plan` shows: send these secrets to the queue, and follow them to InSync.

    It writes to no secret itself: the function does, by its own policy and within its own budget. Shows the
    plan and asks first. It can be stopped at any time: what was sent is worked on all the same.
    """
    if not yes and (as_json or not sys.stdin.isatty()):
        raise typer.BadParameter(
            "nobody is asked with --json, or where standard input is not a terminal: add --yes to send the "
            "secrets, or see them with `replicas plan`",
            param_hint="--yes",
        )
    from replicas.commands import apply, steps

    chosen_options = apply.Options(steps.Options(choice=_choice(chosen), as_json=as_json), yes)
    return apply.run(chosen_options, options.Where(**vars(stacks)), Screen())


@command(
    "status",
    epilog="**Exit codes:** 0 all InSync; 1 an error; 2 wrong usage, or something needs attention: a dead "
    "letter, or a secret that cannot be where its tags ask for; 3 some only wait; 130 stopped by Ctrl-C. "
    + READ_ONLY
    + PEEK,
)
def status_command(
    *,
    chosen: options.Chosen,
    failed: Annotated[
        bool, typer.Option("--failed", metavar="", help="Only the secrets that need attention.")
    ] = False,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            metavar="",
            help="All secrets, also on a terminal, where else 20 that are InSync are shown.",
        ),
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", metavar="", help="Repeat until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How long --watch waits before it repeats.")
    ] = 10,
    no_dead_letters: options.NoDeadLetters = False,
    as_json: options.Json = False,
    where: options.Everywhere,
) -> int:
    """Show whether every selected secret is where it should be.

    A row for each secret, a column for each Region, with AWS's own statuses; `missing` is where AWS lists no
    replica that must be there. What needs attention comes first.

    AWS keeps no time of a status. "Since" is when the function first received the message that is now a dead
    letter, else when the secret was last changed: its status may be younger, or older.
    """
    _require_allowed(where)
    from replicas.commands import status

    chosen_options = status.Options(
        choice=_choice(chosen),
        failed=failed,
        everything=everything,
        dead_letters=not no_dead_letters,
        watch_seconds=interval if watch else 0,
        as_json=as_json,
    )
    return status.run(chosen_options, where, Screen())


@command(
    "explain",
    epilog="**Exit codes:** 0 explained; 1 there is no such secret, or an error; 2 wrong usage; 130 stopped "
    "by Ctrl-C. " + READ_ONLY + PEEK,
)
def explain_command(
    *,
    secret: Annotated[
        str, typer.Argument(metavar="SECRET", help="Name or ARN of the secret.", show_default=False)
    ] = "",
    tags: Annotated[
        str | None,
        typer.Option(
            metavar="TAGS",
            help="Instead of a secret, without AWS: what would happen to one with these tags, as "
            "`replicate-to=dr team=payments`. Needs --allowed-regions; exit code 1 if they ask for what "
            "is not to be had.",
        ),
    ] = None,
    no_dead_letters: options.NoDeadLetters = False,
    as_json: options.Json = False,
    where: options.Where,
) -> int:
    """Say why a secret is, or is not, where it is.

    Its tags, what each rule of the policy requests or forbids and why one does not match, the key of
    each Region and where it is named, AWS's own status and message, the last dead letter, the deployed
    switches that matter, and what happens next. Typos in tags and names are pointed out.
    """
    if bool(secret) == (tags is not None):
        raise typer.BadParameter("give either a secret or --tags", param_hint="SECRET")
    _require_allowed(where)
    if tags is not None:
        return _foretell(tags, where, as_json=as_json)
    from replicas.commands import explain

    chosen_options = explain.Options(secret, dead_letters=not no_dead_letters, as_json=as_json)
    return explain.run(chosen_options, where, Screen())


@command(
    "validate",
    epilog="**Exit codes:** 0 valid, perhaps with warnings; 1 not valid, or not to be read; 2 wrong usage; "
    "130 stopped by Ctrl-C. Needs no permissions and no network.",
)
def validate_command(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy.")],
    as_json: options.Json = False,
) -> int:
    """Say everything that is wrong with a policy. Without AWS, for CI.

    A Region that this version of botocore does not know is a warning: AWS may have made it since.
    """
    from replicas.commands import validate

    return validate.run(file, Screen(), as_json=as_json)


@command(
    "redrive",
    epilog="**Exit codes:** 0 moved, or nothing to move; 1 something failed, or no dead letter "
    "is what was named; 2 wrong usage; 130 stopped by Ctrl-C. **Permissions:** "
    "cloudformation:DescribeStacks on the stack; "
    "sqs:GetQueueAttributes, ReceiveMessage, ChangeMessageVisibility, DeleteMessage, StartMessageMoveTask, "
    "ListMessageMoveTasks and CancelMessageMoveTask on the DeadLetterQueue; sqs:GetQueueAttributes and "
    "SendMessage on the ReplicationQueue; for --fixed also lambda:GetFunctionConfiguration, GetFunction and "
    "secretsmanager:DescribeSecret.",
)
def redrive_command(
    *,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME_OR_ARN", help="Only the dead letters of this secret. Repeat it for several secrets."
        ),
    ] = None,
    error_type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE",
            help="Only dead letters with this error type, as --dry-run shows it. Repeat it for several.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", metavar="", help="Show the dead letters, and leave all where they are."),
    ] = False,
    fixed: Annotated[
        bool,
        typer.Option(
            "--fixed",
            metavar="",
            help="Delete the dead letters of secrets that AWS reports InSync in every Region now; move none.",
        ),
    ] = False,
    yes: options.Yes = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", metavar="", help="Write dead letters and result as JSON. Needs --yes or --dry-run."
        ),
    ] = False,
    at: options.OneStack,
) -> int:
    """Move dead letters back into the queue, once their cause is fixed.

    A dead letter is a secret that could not be replicated, with the reason. This command shows them, asks,
    and moves them into the ReplicationQueue, where the function works on them again with a full set of
    attempts. A dead letter whose cause is not fixed comes back with its reason: moving too many does no harm.

    It can be stopped at any time: a dead letter is deleted only after it was sent. At worst its secret is
    checked twice. Message bodies are never shown.
    """
    if not (yes or dry_run) and (as_json or not sys.stdin.isatty()):
        raise typer.BadParameter(
            "nobody is asked with --json, or where standard input is not a terminal: "
            "add --yes to move the dead letters, or --dry-run to see them",
            param_hint="--yes",
        )
    from replicas.commands import redrive

    chosen_options = redrive.Options(secret or (), error_type or (), yes, dry_run, as_json, fixed)
    return redrive.run(chosen_options, at.stack, at.access, Screen())


@command(
    "sweep",
    epilog="**Exit codes:** 0 every selected secret is accounted for, and there is no dead letter; 1 not all "
    "is accounted for, or an error; 2 wrong usage, or there are dead letters; 130 stopped by Ctrl-C. "
    "**Permissions:** cloudformation:DescribeStacks on the stack; lambda:GetFunctionConfiguration on its "
    "function; sqs:SendMessage and GetQueueAttributes on the ReplicationQueue; logs:FilterLogEvents on the "
    "function's log group.",
)
def sweep_command(
    *,
    no_follow: Annotated[
        bool, typer.Option("--no-follow", metavar="", help="Only start it; its id is in the function's log.")
    ] = False,
    as_json: options.Json = False,
    at: options.OneStack,
) -> int:
    """Check every selected secret now, and say what became of each.

    A sweep runs every day by itself; this starts one more: after installing, after a change of the policy, or
    after trouble. It is followed through the function's log until every secret that the policy selects has
    converged, was skipped for a reason, or is in the DeadLetterQueue.

    Ctrl-C ends the following, not the sweep. Two sweeps at the same time do no harm.
    """
    from replicas.commands import sweep

    chosen_options = sweep.Options(follow=not no_follow, as_json=as_json)
    return sweep.run(chosen_options, at.stack, at.access, Screen())


@command(
    "report",
    epilog="**Exit codes:** 0 written; 1 an error; 2 wrong usage; 130 stopped by Ctrl-C. "
    + READ_ONLY
    + ", also in the replica Regions; kms:DescribeKey there"
    + PEEK,
)
def report_command(
    *,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the page goes to.",
            show_default="replicas-report.html; with --json no page",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the same as CSV, too.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TAG", help="Also show the coverage by the values of this tag, as team. Repeat it."
        ),
    ] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Title of the page.")] = "Secret replicas",
    chosen: options.Chosen,
    no_dead_letters: options.NoDeadLetters = False,
    as_json: options.Json = False,
    where: options.Everywhere,
) -> int:
    """Write one page that shows where every secret is, for an auditor or a dashboard screen.

    Coverage by Region and by any tag, what waits or failed and since when, drift, cost, and every secret,
    with what `replicas verify` finds in each Region beside its status: where both disagree comes first. The
    page needs nothing but itself: no script, no other file, no network.
    """
    _require_allowed(where)
    from replicas.commands.report import page

    html = html or (None if as_json else Path("replicas-report.html"))
    chosen_options = page.Options(
        _choice(chosen), html, csv, by or (), title, dead_letters=not no_dead_letters, as_json=as_json
    )
    return page.run(chosen_options, where, Screen())


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
def doctor_command(
    *,
    as_json: options.Json = False,
    where: options.EveryStack,
) -> int:
    """Say whether all is there that the stack depends on, and whether it needs attention.

    Checks the function's settings, its version, a trail, the rules, the queues' key, recursive loop
    detection, the Regions and keys of policy.toml, the deployed policy, dead letters, stuck messages and
    alarms. A line each: good, bad with what to do, or not checkable with the permission that is missing. Of
    several stacks what is good is only counted.
    """
    from replicas.commands.doctor import command as doctor

    return doctor.run(where, Screen(), as_json=as_json)


@command(
    "smoke",
    epilog="**Exit codes:** 0 InSync in every Region, and removed again; 1 not, or an error; 2 wrong usage; "
    "130 or 143 stopped. **Permissions:** cloudformation:DescribeStackResources; "
    "lambda:GetFunctionConfiguration; secretsmanager:CreateSecret, TagResource, DescribeSecret, "
    "RemoveRegionsFromReplication and DeleteSecret.",
)
def smoke_command(
    *,
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGION", help="Replicate to this Region. Repeat it.", show_default="all AllowedRegions"
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="How long to wait for InSync.")
    ] = 300,
    observe: Annotated[
        bool,
        typer.Option("--observe", help="Also say what was seen that AWS does not document."),
    ] = False,
    as_json: options.Json = False,
    policy: options.PolicyFile = None,
    at: options.OneStack,
) -> int:
    """Make one tagged secret, follow it until it is InSync in every Region, and remove it again.

    Says when each Region was seen with which status. Reads no value. Touches no other secret. Also when it is
    interrupted, all that it made is removed.
    """
    from replicas.commands import health

    return health.run_smoke(
        at.stack, at.access, Screen(), to or (), timeout, policy, observe=observe, as_json=as_json
    )


@command(
    "verify",
    epilog="**Exit codes:** 0 every wanted replica is there and current; "
    "1 an error, or a Region that could not be read; "
    "2 wrong usage, or one needs attention: missing, behind, standalone, another secret, key unusable; "
    "3 some are under way; "
    "130 stopped by Ctrl-C. " + READ_ONLY + ", also in the replica Regions; kms:DescribeKey there. With "
    "--from only secretsmanager:ListSecrets, there. Nothing is written, and no value can be read.",
)
def verify_command(
    *,
    chosen: options.Chosen,
    from_region: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="REGION",
            help="Ask this Region alone what it holds: for the hour when the primary Region does not answer.",
            show_default=False,
        ),
    ] = "",
    as_json: options.Json = False,
    where: options.Everywhere,
) -> int:
    """Prove from the other side that the replicas are there and hold the current version.

    Lists the primaries and what each Region really holds, 100 secrets a call, and compares version ids. It
    does not believe the primary's list of replicas: where AWS says InSync and the copy is behind or missing,
    that comes first.
    """
    _require_allowed(where)
    from replicas.commands.failover import verify

    chosen_options = verify.Options(_choice(chosen), as_json=as_json)
    return verify.run(chosen_options, where, Screen(), from_region)


@command(
    "promote",
    epilog="**Exit codes:** 0 promoted and held, or nothing to promote; 1 something failed; 2 wrong usage; "
    "130 stopped by Ctrl-C. **Permissions:** secretsmanager:ListSecrets, DescribeSecret, "
    "StopReplicationToReplica and TagResource in the replica Region alone. No value can be read.",
)
def promote_command(
    *,
    replica_region: Annotated[str, typer.Option(metavar="REGION", help="Where the replicas are promoted.")],
    primary_region: Annotated[
        str, typer.Option(metavar="REGION", help="Only replicas of this Region.", show_default="of any")
    ] = "",
    chosen: options.Chosen,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why: it becomes part of the hold tag.")
    ] = "the primary Region does not answer",
    journal: options.Journal = None,
    writes_per_second: options.WritesPerSecond = 20,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Show it all, and write nothing: the rehearsal.")
    ] = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
    account: options.OneAccount,
) -> int:
    """Make replicas writable in their own Region, without the Region that is gone.

    Lists the replicas of one Region, asks, and calls StopReplicationToReplica for each, within the budget.
    Each gets the tag secret-replicator:hold, so that no stack touches it. Needs no stack and no policy. A
    journal is written before each call; stopped at any time, the same command goes on where it was.
    """
    _require_yes(as_json=as_json, answered=yes or dry_run)
    from replicas.commands.failover import promote

    chosen_options = promote.Options(
        replica_region,
        _choice(chosen),
        journal,
        writes_per_second,
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
        primary_region=primary_region,
        reason=reason,
    )
    return promote.run(chosen_options, account.access(replica_region), Screen())


@command(
    "rejoin",
    epilog="**Exit codes:** 0 all rejoined, or nothing to rejoin; 1 something failed; 2 wrong usage, or some "
    "are left for you to decide; 130 stopped by Ctrl-C. **Permissions:** secretsmanager:ListSecrets, "
    "DescribeSecret, ReplicateSecretToRegions, RemoveRegionsFromReplication, TagResource and UntagResource, "
    "in both Regions; for keys of your own kms:Decrypt on the primary's, kms:GenerateDataKey and "
    "kms:Encrypt on the replica's. They are yours, never the function's. No value can be read.",
)
def rejoin_command(
    *,
    replica_region: Annotated[str, typer.Option(metavar="REGION", help="Where the replicas were promoted.")],
    chosen: options.Chosen,
    primary: Annotated[
        str,
        typer.Option(
            metavar="REGION",
            help="Turn the relation round for what changed there: the same Region, it is the primary then.",
            show_default=False,
        ),
    ] = "",
    accept_home: Annotated[
        bool,
        typer.Option("--accept-home", metavar="", help="Also rejoin what changed at home and not there."),
    ] = False,
    discard: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Lose what the overwritten side of this secret has, for good. Repeat it."
        ),
    ] = None,
    journal: options.Journal = None,
    writes_per_second: options.WritesPerSecond = 20,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Compare both sides, and write nothing.")
    ] = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
    account: options.OneAccount,
) -> int:
    """Come back after a promotion, and overwrite nothing that changed by accident.

    Compares both sides by version ids and the journal. What is unchanged is replicated from home again. What
    changed is left and named, until you say which side to keep. Each step is in the journal, both sides are
    compared again before one is overwritten, and the hold tag goes last.
    """
    _require_yes(as_json=as_json, answered=yes or dry_run)
    if primary not in ("", replica_region):
        raise typer.BadParameter("it must be the --replica-region", param_hint="--primary")
    from replicas.commands.failover import rejoin
    from replicas.failover.compare import Wishes

    chosen_options = rejoin.Options(
        replica_region,
        _choice(chosen),
        journal,
        writes_per_second,
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
        wishes=Wishes(bool(primary), accept_home, frozenset(discard or ())),
    )
    return rejoin.run(chosen_options, account.access(replica_region), Screen())


def _require_yes(*, as_json: bool, answered: bool) -> None:
    if not answered and (as_json or not sys.stdin.isatty()):
        raise typer.BadParameter(
            "nobody is asked with --json, or where standard input is not a terminal: add --yes, or see what "
            "would be done with --dry-run",
            param_hint="--yes",
        )


def _foretell(tags: str, where: options.Where, *, as_json: bool) -> int:
    if not where.allowed_regions:
        raise typer.BadParameter("say with --allowed-regions which Regions are allowed", param_hint="--tags")
    from replicas.aws.deployment import policy_file
    from replicas.commands import validate

    home = where.regions[0] if where.regions else ""
    file = policy_file(where.policy, local=where.local)
    chosen_options = validate.Options(tags, file, where.allowed_regions, home, as_json)
    return validate.foretell(chosen_options, Screen())


def _require_regions(named: Iterable[str], option: str) -> None:
    """Raise BadParameter for what is not a Region of AWS, with what was meant."""
    from replicas.inventory.regions import unknown

    if wrong := [*unknown(named)]:
        raise typer.BadParameter("; ".join(wrong), param_hint=option)


def _require_allowed(where: options.Where) -> None:
    if where.allowed_regions:
        _require_regions(map(str.strip, where.allowed_regions.split(",")), "--allowed-regions")


def _choice(chosen: options.Chosen) -> "Choice":
    filters = chosen.filters
    from replicas.inventory.inventory import Choice

    return Choice(chosen.names or (), filters)
