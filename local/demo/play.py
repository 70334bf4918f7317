"""A day in the life of some secrets, played on the deployed stack; whatever is shown is checked."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from botocore.exceptions import ClientError
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table

from local.aws import observe
from local.aws.ministack import clients
from local.aws.observe import IN_SYNC, REASONS, DeadLetter, FunctionLog
from local.cloudtrail.relay import Relay
from local.console import step
from local.demo import examples
from local.demo.cases import CASES, DELETED, KEYED, LATE, MARK, MISTAKEN, ROTATED, TAKEN, UNHEARD, Case, value
from local.demo.lives import NO_REPLICA, Lives
from local.process.environment import HOME_REGION, LOCAL_POLICY
from local.stack import ALLOWED_REGIONS, Stack, Variant, local_stack
from replicas.aws.dead_letters import Queues, choose, count_messages, read_dead_letters, secret_name
from replicas.aws.dead_letters import redrive as move
from replicas.aws.function_log import Follower, LogReader, SweepProgress
from secret_replicator.messages import SweepRequest

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef, TagTypeDef

TIMEOUT_SECONDS = 180
VARIANT = Variant({"PruneReplicas": "true"}, worlds="seconds_in_progress=2.5")
"""What a day of the demo needs: removals, and an `InProgress` that can be seen."""

CORRECTED = {"replicate-to": "eu-west-1 eu-central-1"}
CORRECTED_REGIONS = ("eu-central-1", "eu-west-1")


@dataclass
class Play:
    """The demo under way: what was promised, and what of it was not kept."""

    stack: Stack
    console: Console
    log: FunctionLog
    relay: Relay
    kept: int = 0
    broken: list[str] = field(default_factory=list)
    began: dict[str, float] = field(default_factory=dict)
    lives: Lives = field(default_factory=Lives)
    fixes: dict[Case, Callable[[], object]] = field(default_factory=dict)
    """What is to be done once AWS has said why the replica of a secret failed."""

    def play(self) -> None:
        policy = "\n".join(f"  {line}" for line in LOCAL_POLICY.read_text("utf-8").splitlines() if line)
        self.console.print(f"\nThe policy, local/policy.toml:\n\n{policy}\n", markup=False)
        self._prepare()
        with step(self.console, "Create eight secrets, tag one of them later, wait for all"):
            self._create_all()
            self._until(self._all_done)
        self._show_and_check_secrets()
        self._show_fixed(KEYED, "The key was enabled")
        self._show_fixed(TAKEN, "The other secret was deleted")
        dead_letters = self._dead_letters()
        self.console.print("", *map(_dead_letter_table, dead_letters))
        self._check_dead_letters(dead_letters)
        self._correct_and_redrive(dead_letters)
        self._rotate()
        self._delete()
        self._sweep()
        self._check_values(dead_letters)
        self._check("the ReplicationQueue is empty in the end", self._until(self._nothing_left))

    def _check(self, promise: str, kept: object) -> None:
        if kept:
            self.kept += 1
        else:
            self.broken.append(promise)

    def _until(self, is_so: Callable[[], bool]) -> bool:
        """Read the log until it is so, or the time is up; return which."""

        def is_so_now() -> bool:
            self.relay.check()
            self.log.read()
            return is_so()

        return observe.until(is_so_now, TIMEOUT_SECONDS)

    # Before the day, and the first scene

    def _prepare(self) -> None:
        there = clients(self.stack.aws, KEYED.fails_in)
        key = examples.create_key(there.keys)
        there.keys.disable_key(KeyId=key)
        self.fixes[KEYED] = partial(there.keys.enable_key, KeyId=key)
        there = clients(self.stack.aws, TAKEN.fails_in)
        arn = there.secrets.create_secret(Name=TAKEN.name, SecretString=value())["ARN"]
        self.fixes[TAKEN] = partial(self._delete_other, arn)

    def _delete_other(self, arn: str) -> None:
        """Let the other team give the name up, once it is known that nobody has touched its secret."""
        found = self._describe(TAKEN, TAKEN.fails_in)
        as_it_was = found and found["ARN"] == arn and "PrimaryRegion" not in found
        self._check(f"the other {TAKEN.name}, in {TAKEN.fails_in}, is as it was", as_it_was)
        clients(self.stack.aws, TAKEN.fails_in).secrets.delete_secret(
            SecretId=TAKEN.name, ForceDeleteWithoutRecovery=True
        )

    def _create_all(self) -> None:
        for case in CASES:
            self.began[case.name] = time.monotonic()
            create(self.stack, case)
        left_alone = self._until(lambda: self._said(LATE, "outcome") == "skipped")
        self._check(f"{LATE.name} is looked at, and left alone while it has no tag", left_alone)
        self.began[LATE.name] = time.monotonic()
        self._tag(LATE, LATE.later)

    def _tag(self, case: Case, tags: Mapping[str, str]) -> None:
        self.stack.clients.secrets.tag_resource(SecretId=case.name, Tags=_aws_tags(tags))

    def _all_done(self) -> bool:
        """Describe every secret once, fix what AWS names; tell whether there is nothing more to wait for."""
        for case in CASES:
            self.lives.note(case.name, self._describe(case))
            if case in self.fixes and self.lives.failure(case.name, case.fails_in):
                self.fixes.pop(case)()
        dead = {secret_name(each.secret) for each in self._dead_letters()}
        return all(
            self._said(case, "outcome") in case.outcomes
            and all(self.lives.now(case.name, region) == IN_SYNC for region in case.in_sync)
            and (case.name in dead or not case.refused)
            for case in CASES
        )

    def _said(self, case: Case, fact: str) -> str:
        """Return a fact of what the function came to last about the secret.

        An event about a failure that another message takes care of is skipped, whatever the secret is.
        """
        lines = [
            line
            for line in self.log.lines
            if line.event == "secret_reconciled" and secret_name(line.fact("secret")) == case.name
        ]
        acted = [line for line in lines if line.fact("outcome") != "skipped"]
        return (acted or lines)[-1].fact(fact) if lines else ""

    def _dead_letters(self) -> list[DeadLetter]:
        return observe.dead_letters(self.stack.clients.sqs, self.stack.dead_letter_queue_url)

    def _describe(self, case: Case, region: str = HOME_REGION) -> "DescribeSecretResponseTypeDef | None":
        return observe.describe(clients(self.stack.aws, region).secrets, case.name)

    def _show_and_check_secrets(self) -> None:
        headers = ("Secret", "Tags", Column("What AWS said of each Region", no_wrap=True), "Outcome")
        seconds = Column("Seconds\nto InSync", justify="right")
        table = Table(*headers, seconds, title="Secrets", title_justify="left", box=SIMPLE)
        for case in CASES:
            self._check_case(case)
            table.add_row(*self._row(case))
        self.console.print(table)

    def _check_case(self, case: Case) -> None:
        outcome = self._said(case, "outcome") or "not read"
        self._check(f"{case.name} is {' or '.join(case.outcomes)}, not {outcome}", outcome in case.outcomes)
        for region in case.shown:
            status = self.lives.now(case.name, region)
            promised = IN_SYNC if region in case.in_sync else NO_REPLICA
            self._check(f"{case.name}: {region} says {promised}, not {status}", status == promised)
            if region in case.in_sync:
                shown = self._is_replica(case, region)
                self._check(f"DescribeSecret in {region} shows the replica of {case.name}", shown)
                in_progress = self.lives.first(case.name, region) == "InProgress"
                self._check(f"{case.name}: {region} was InProgress first", in_progress)
            if region == case.fails_in:
                failure = self.lives.failure(case.name, region)
                self._check(f"AWS says of {case.name}: {case.reason}, not {failure}", case.reason in failure)
        if not case.desired:
            there = [region for region in ALLOWED_REGIONS if self._describe(case, region)]
            self._check(f"{case.name} is in no other Region, not in {there}", not there)

    def _row(self, case: Case) -> list[str]:
        outcome, reason = self._said(case, "outcome") or "not read", self._said(case, "reason")
        if outcome != "skipped":
            reason = f"for {case.refused}" if case.refused else ""
        since = self.lives.in_sync_since(case.name, *case.in_sync)
        return [
            f"{case.name}\n{case.story}",
            _lines(f"{key}={text}" for key, text in {**case.tags, **case.later}.items()),
            _lines(f"{region} {self.lives.text(case.name, region)}" for region in case.shown),
            _lines(filter(None, ["dead-lettered" if outcome == "failed" else outcome, reason])),
            "-" if since is None else f"{since - self.began[case.name]:.1f}",
        ]

    def _is_replica(self, case: Case, region: str) -> bool:
        """Tell whether the Region itself shows this primary's replica: the same ARN but for the Region."""
        primary, replica = self._describe(case), self._describe(case, region)
        return bool(
            primary
            and replica
            and replica.get("PrimaryRegion") == HOME_REGION
            and replica["ARN"] == primary["ARN"].replace(HOME_REGION, region)
        )

    def _show_fixed(self, case: Case, fix: str) -> None:
        failure = self.lives.failure(case.name, case.fails_in)
        self.console.print(
            f'{case.name}, {case.fails_in}: "{failure}". {fix}; the rest went by itself.', markup=False
        )

    # Dead letters

    def _check_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        refused = {case.name: case.refused for case in CASES if case.refused}
        found = sorted(secret_name(each.secret) for each in dead_letters)
        self._check(f"one dead letter each for {sorted(refused)}, not {found}", found == sorted(refused))
        for each in dead_letters:
            name = secret_name(each.secret)
            region = refused.get(name, "?")
            full = all(each.reasons.get(reason) for reason in REASONS)
            self._check(f"the dead letter of {name} has {', '.join(REASONS)}", full)
            named = each.reasons.get("FailedRegions")
            self._check(f"the dead letter of {name} names {region}, not {named}", named == region)
            original = _secret_in(each.body) == each.secret
            self._check(f"the dead letter of {name} has the original body", original)

    def _correct_and_redrive(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Only begin it: what comes of it is seen after the sweep."""
        chosen = [each for each in dead_letters if secret_name(each.secret) == MISTAKEN.name]
        self._check(f"there is a dead letter of {MISTAKEN.name} to redrive", chosen)
        tags = " ".join(f"{key} = {text}" for key, text in CORRECTED.items())
        with step(self.console, f"Correct {MISTAKEN.name} ({tags}) and redrive its dead letter"):
            self._tag(MISTAKEN, CORRECTED)
            moved = sum(redrive(self.stack, each) for each in chosen)
        self._check(f"one dead letter is redriven, not {moved}", moved == 1)

    # A new value, and a deletion

    def _rotate(self) -> None:
        began = time.monotonic()
        with step(self.console, f"Give {ROTATED.name} a new value, wait until its replicas have it"):
            version = self.stack.clients.secrets.put_secret_value(
                SecretId=ROTATED.name, SecretString=value()
            )["VersionId"]
            everywhere = self._until(
                lambda: all(self._current(ROTATED, region) == version for region in ROTATED.desired)
            )
        self._check(f"the new value of {ROTATED.name} is in {', '.join(ROTATED.desired)}", everywhere)
        self.console.print(
            f"{ROTATED.name}: version {version[:8]} is AWSCURRENT in {' and '.join(ROTATED.desired)} "
            f"after {time.monotonic() - began:.1f} s. No value was read to know it.\n"
        )

    def _current(self, case: Case, region: str) -> str:
        described = self._describe(case, region)
        versions = described.get("VersionIdsToStages", {}) if described else {}
        return next((key for key, stages in versions.items() if "AWSCURRENT" in stages), "")

    def _delete(self) -> None:
        name = DELETED.name
        with step(self.console, f"Delete {name}: refused; opt it out (replicate-to = none), delete it again"):
            refusal = self._refusal_to_delete()
            self._tag(DELETED, {"replicate-to": "none"})
            removed = self._until(
                lambda: not any(self._describe(DELETED, region) for region in DELETED.desired)
            )
            again = self._refusal_to_delete()
        self._check(f"AWS refuses to delete {name} while it has replicas", "replica regions" in refusal)
        self._check(f"the replicas of {name} are removed once nobody wants them", removed)
        self._check(f"AWS deletes {name} then, and does not say {again}", not again)
        self.console.print(
            f'{name}: "{refusal}"\nThe function removed them (PruneReplicas is on), and it was deleted.\n',
            markup=False,
        )

    def _refusal_to_delete(self) -> str:
        try:
            self.stack.clients.secrets.delete_secret(SecretId=DELETED.name)
        except ClientError as error:
            return error.response["Error"]["Message"]
        return ""

    # The account of all

    def _sweep(self) -> None:
        stack, sweep_id = self.stack, str(uuid4())
        progress = SweepProgress()
        follower = Follower(LogReader(stack.clients.logs, stack.log_group, sweep_id, 0), progress)

        def is_swept() -> bool:
            follower.check()
            return progress.complete

        with step(self.console, "Sweep: check every selected secret, wait until each is accounted for"):
            stack.clients.sqs.send_message(
                QueueUrl=stack.queue_url, MessageBody=SweepRequest(sweep_id).body()
            )
            self._until(is_swept)
        self._check("the sweep accounts for every selected secret", progress.complete)
        converged = len(progress.of("converged"))
        self._check(f"all of them are converged, not {converged}", converged == progress.selected)
        selected = len([case for case in (*CASES, UNHEARD) if case.desired and case is not DELETED])
        self._check(f"the sweep selects {selected} secrets", sum(progress.selected_on.values()) == selected)
        corrected, found = (observe.statuses(self._describe(case)) for case in (MISTAKEN, UNHEARD))
        promised = dict.fromkeys(CORRECTED_REGIONS, IN_SYNC)
        self._check(f"{MISTAKEN.name} is InSync in {CORRECTED_REGIONS}", corrected == promised)
        self._check(
            f"it finds {UNHEARD.name}, for which there was no event",
            found == dict.fromkeys(UNHEARD.desired, IN_SYNC),
        )
        left = [secret_name(each.secret) for each in self._dead_letters()]
        self._check(f"no dead letter is left, not {left}", not left)
        left_out = ", ".join(case.name for case in CASES if not case.desired)
        self.console.print(
            f"{progress}\nThese are the {len(CASES)} secrets above but for {DELETED.name} (deleted) and "
            f"{left_out} (not selected), and {UNHEARD.name} ({UNHEARD.story}).\n"
            f"{UNHEARD.name} now: {_listed(found)}. {MISTAKEN.name} now: {_listed(corrected)}. "
            f"Dead letters left: {', '.join(left) or 'none'}.\n"
        )

    def _check_values(self, dead_letters: Sequence[DeadLetter]) -> None:
        logged = [line.event + json.dumps(dict(line.facts)) for line in self.log.lines]
        written = [each.body + json.dumps(dict(each.reasons)) for each in dead_letters]
        hidden = logged and written and not any(MARK in text for text in logged + written)
        self._check("no value is in the function's log or in a dead letter", hidden)

    def _nothing_left(self) -> bool:
        return count_messages(self.stack.clients.sqs, self.stack.queue_url) == 0


def _dead_letter_table(dead_letter: DeadLetter) -> Table:
    name = secret_name(dead_letter.secret)
    table = Table(title=f"Dead letter: {name}", title_justify="left", box=SIMPLE, show_header=False)
    for reason in REASONS:
        table.add_row(reason, dead_letter.reasons.get(reason, "-"))
    return table


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines) or "-"


def _listed(statuses: Mapping[str, str]) -> str:
    return ", ".join(f"{region} {status}" for region, status in statuses.items())


def _secret_in(body: str) -> str:
    response = json.loads(body)["detail"]["responseElements"]
    return str(response["arn"]) if response else ""


def _aws_tags(tags: Mapping[str, str]) -> "Sequence[TagTypeDef]":
    return [{"Key": key, "Value": text} for key, text in tags.items()]


def create(stack: Stack, case: Case) -> None:
    stack.clients.secrets.create_secret(Name=case.name, SecretString=value(), Tags=_aws_tags(case.tags))


def redrive(stack: Stack, dead_letter: DeadLetter) -> int:
    """Move the dead letters of its secret as `replicas redrive --secret` does; return how many."""
    queues = Queues(stack.clients.sqs, stack.queue_url, stack.dead_letter_queue_url)
    chosen = choose(read_dead_letters(queues, _ignore), [dead_letter.secret], [])
    return move(queues, chosen, _ignore, everything=False)


def run(console: Console) -> int:
    """Play the demo; return the exit code: 0 if everything shown is as promised."""
    began = time.monotonic()
    with local_stack(partial(step, console), variant=VARIANT) as stack:
        create(stack, UNHEARD)
        relay = Relay(stack.clients, _ignore)
        play = Play(stack, console, FunctionLog(stack.clients.logs, stack.log_group), relay)
        with relay.running():
            play.play()
    if play.broken:
        console.print(f"{play.kept} checks are as promised, {len(play.broken)} are not:")
        for promise in play.broken:
            console.print(f"  {promise}", markup=False)
        return 1
    console.print(
        f"{play.kept} checks, all as promised. {time.monotonic() - began:.0f} s in all; nothing is left "
        "running.\nNext: `make local` keeps this stack up for your own secrets; "
        "docs/tutorial/first-deployment.md leads to AWS."
    )
    return 0


def _ignore(_news: object) -> None:
    """In the demo nobody wants to see each delivery, or each dead letter."""
