"""A day in the life of some secrets, played on the deployed stack; whatever is shown is checked."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from rich.console import Console

from local.aws import observe
from local.aws.ministack import secrets_in
from local.aws.observe import IN_SYNC, REASONS, DeadLetter, FunctionLog
from local.cloudtrail.relay import Delivery, Relay
from local.console import step
from local.demo.cases import (
    CASES,
    MARK,
    MENDED,
    MENDED_REGIONS,
    MISTAKEN,
    OPTED_OUT,
    TAKEN,
    TAKEN_IN,
    UNTOLD,
    Case,
    value,
)
from local.demo.tables import Result, letter_table, secrets_table
from local.process.environment import HOME_REGION, LOCAL_POLICY
from local.stack import ALLOWED_REGIONS, Stack, local_stack
from replicas.aws.dead_letters import Queues, choose, read_letters, secret_name
from replicas.aws.dead_letters import redrive as move
from replicas.aws.function_log import Account, Follower
from secret_replicator.messages import SweepRequest

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import TagTypeDef

PATIENCE_SECONDS = 60
NO_REPLICA = "no replica"


@dataclass
class Checks:
    """What was promised, and what of it was not kept."""

    kept: int = 0
    broken: list[str] = field(default_factory=list)

    def that(self, promise: str, kept: object) -> None:
        """Note whether the promise was kept."""
        if kept:
            self.kept += 1
        else:
            self.broken.append(promise)


@dataclass
class Play:
    """The demo under way."""

    stack: Stack
    console: Console
    log: FunctionLog
    relay: Relay
    checks: Checks = field(default_factory=Checks)
    began: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def play(self) -> None:
        """Play all of it."""
        other = secrets_in(self.stack.aws, TAKEN_IN).create_secret(Name=TAKEN.name, SecretString=value())
        self.console.print(
            f"\nThe policy, local/policy.toml:\n\n{_indented(LOCAL_POLICY.read_text('utf-8'))}\n"
        )
        self.console.print(f"There before, made by somebody else: a secret {TAKEN.name} in {TAKEN_IN}.")
        with step(self.console, "Create seven secrets, tag one of them later, wait for all"):
            self._create_all()
            observe.until(self._all_done, PATIENCE_SECONDS)
        results = [self._result(case) for case in CASES]
        letters = self._letters()
        self.console.print(secrets_table(results), *map(letter_table, letters))
        for result in results:
            self._check_result(result)
        self._check_letters(letters)
        self._mend_and_redrive(letters)
        self._opt_out()
        self._sweep()
        self._check_other_secret(other["ARN"])
        self._check_values(letters)
        self.checks.that(
            "the ReplicationQueue is empty in the end", observe.until(self._nothing_left, PATIENCE_SECONDS)
        )

    def _create_all(self) -> None:
        for case in CASES:
            self.began[case.name] = time.monotonic()
            self.stack.clients.secrets.create_secret(
                Name=case.name, SecretString=value(), Tags=_aws_tags(case.tags)
            )
        for case in (case for case in CASES if case.later):
            left_alone = observe.until(partial(self._is_skipped, case), PATIENCE_SECONDS)
            self.checks.that(f"{case.name} is looked at, and left alone while it has no tag", left_alone)
            self.began[case.name] = time.monotonic()
            self._tag(case, case.later)

    def _tag(self, case: Case, tags: Mapping[str, str]) -> None:
        self.stack.clients.secrets.tag_resource(SecretId=case.name, Tags=_aws_tags(tags))

    def _all_done(self) -> bool:
        """Look at everything once; tell whether there is nothing more to wait for."""
        self.relay.check()
        self.log.read()
        for case in CASES:
            if case.in_sync and case.name not in self.seconds and self._is_in_sync(case):
                self.seconds[case.name] = time.monotonic() - self.began[case.name]
        dead = {secret_name(letter.secret) for letter in self._letters()}
        return all(
            self._outcome(case) == case.outcome
            and (case.name in self.seconds or not case.in_sync)
            and (case.name in dead or not case.refused)
            for case in CASES
        )

    def _is_in_sync(self, case: Case) -> bool:
        now = self._statuses(case)
        return all(now.get(region) == IN_SYNC for region in case.in_sync)

    def _is_skipped(self, case: Case) -> bool:
        self.relay.check()
        self.log.read()
        return self._outcome(case) == "skipped"

    def _statuses(self, case: Case) -> dict[str, str]:
        return observe.statuses(observe.describe(self.stack.aws, HOME_REGION, case.name))

    def _outcome(self, case: Case) -> str:
        return self._said(case, "outcome") or "not read"

    def _said(self, case: Case, fact: str) -> str:
        """Return a fact of what the function came to last about the secret."""
        lines = [
            line
            for line in self.log.lines
            if line.event == "secret_reconciled" and secret_name(line.fact("secret")) == case.name
        ]
        return lines[-1].fact(fact) if lines else ""

    def _letters(self) -> list[DeadLetter]:
        return observe.dead_letters(self.stack.clients.queues, self.stack.dead_letter_queue_url)

    def _result(self, case: Case) -> Result:
        now = self._statuses(case)
        return Result(
            case,
            {region: now.get(region, NO_REPLICA) for region in case.desired or ALLOWED_REGIONS},
            self._outcome(case),
            self._said(case, "reason"),
            self.seconds.get(case.name),
        )

    def _check_result(self, result: Result) -> None:
        case = result.case
        self.checks.that(
            f"{case.name} is {case.outcome}, not {result.outcome}", result.outcome == case.outcome
        )
        for region, status in result.regions.items():
            promised = IN_SYNC if region in case.in_sync else NO_REPLICA
            self.checks.that(f"{case.name}: {region} says {promised}, not {status}", status == promised)
            if region in case.in_sync:
                shown = self._is_replica(case, region)
                self.checks.that(f"DescribeSecret in {region} shows the replica of {case.name}", shown)
        if not case.desired:
            there = [region for region in ALLOWED_REGIONS if self._is_there(case, region)]
            self.checks.that(f"{case.name} is in no other Region, not in {there}", not there)

    def _is_there(self, case: Case, region: str) -> bool:
        return observe.describe(self.stack.aws, region, case.name) is not None

    def _is_replica(self, case: Case, region: str) -> bool:
        """Tell whether the Region itself shows this primary's replica: the same ARN but for the Region."""
        primary = observe.describe(self.stack.aws, HOME_REGION, case.name)
        replica = observe.describe(self.stack.aws, region, case.name)
        return bool(
            primary
            and replica
            and replica.get("PrimaryRegion") == HOME_REGION
            and replica["ARN"] == primary["ARN"].replace(HOME_REGION, region)
        )

    def _check_letters(self, letters: Sequence[DeadLetter]) -> None:
        refused = {case.name: case.refused for case in CASES if case.refused}
        found = sorted(secret_name(letter.secret) for letter in letters)
        self.checks.that(f"one dead letter each for {sorted(refused)}, not {found}", found == sorted(refused))
        for letter in letters:
            name = secret_name(letter.secret)
            region = refused.get(name, "?")
            full = all(letter.reasons.get(reason) for reason in REASONS)
            self.checks.that(f"the dead letter of {name} has {', '.join(REASONS)}", full)
            named = letter.reasons.get("FailedRegions")
            self.checks.that(f"the dead letter of {name} names {region}, not {named}", named == region)
            original = _secret_in(letter.body) == letter.secret
            self.checks.that(f"the dead letter of {name} has the original body", original)

    def _mend_and_redrive(self, letters: Sequence[DeadLetter]) -> None:
        letter = next((letter for letter in letters if secret_name(letter.secret) == MISTAKEN.name), None)
        self.checks.that(f"there is a dead letter of {MISTAKEN.name} to redrive", letter)
        if letter is None:
            return
        what = " ".join(f"{key} = {text}" for key, text in MENDED.items())
        with step(self.console, f"Fix {MISTAKEN.name} ({what}) and redrive its dead letter"):
            self._tag(MISTAKEN, MENDED)
            mended = observe.until(partial(self._has_converged, 1), PATIENCE_SECONDS)
            self.checks.that(f"{MISTAKEN.name} converges once it is fixed", mended)
            redrive(self.stack, letter)
            converged = observe.until(partial(self._has_converged, 2), PATIENCE_SECONDS)
        self.checks.that(f"{MISTAKEN.name} converges again once it is redriven", converged)
        now, left = self._statuses(MISTAKEN), [secret_name(letter.secret) for letter in self._letters()]
        in_sync = now == dict.fromkeys(MENDED_REGIONS, IN_SYNC)
        self.checks.that(f"{MISTAKEN.name} is InSync in {MENDED_REGIONS}, not {now}", in_sync)
        self.checks.that(f"only the dead letter of {TAKEN.name} is left, not {left}", left == [TAKEN.name])
        says = ", ".join(f"{region} {status}" for region, status in now.items())
        self.console.print(f"{MISTAKEN.name} now: {says}. Dead letters left: {', '.join(left) or 'none'}.\n")

    def _opt_out(self) -> None:
        (case,) = [case for case in CASES if case.name == OPTED_OUT]
        with step(self.console, f"Opt {OPTED_OUT} out (replicate-to = none)"):
            self._tag(case, {"replicate-to": "none"})
            observe.until(partial(self._has_drifted, case), PATIENCE_SECONDS)
        drift = self._drift(case)
        unwanted = dict.fromkeys(case.in_sync, "unwanted")
        self.checks.that(f"{OPTED_OUT} is reported as {unwanted}, not {drift}", drift == unwanted)
        self.checks.that(
            f"the replicas of {OPTED_OUT} stay while PruneReplicas is off", self._is_in_sync(case)
        )
        says = ", ".join(f"{region} {kind}" for region, kind in drift.items())
        self.console.print(f"{OPTED_OUT} now: {says}. They stay, because PruneReplicas is off.\n")

    def _has_drifted(self, case: Case) -> bool:
        self.relay.check()
        self.log.read()
        return len(self._drift(case)) == len(case.in_sync)

    def _drift(self, case: Case) -> dict[str, str]:
        """Return the Regions that the function has reported as drift, with their kinds."""
        lines = [line for line in self.log.lines if line.event == "drift_found"]
        about = [line for line in lines if secret_name(line.fact("secret")) == case.name]
        return {line.fact("region"): line.fact("kind") for line in about}

    def _sweep(self) -> None:
        clients = self.stack.clients
        follower = Follower(clients.logs, self.stack.log_group, str(uuid4()), Account(), 0)
        with step(self.console, "Sweep: check every selected secret, wait until each is accounted for"):
            clients.queues.send_message(
                QueueUrl=self.stack.queue_url, MessageBody=SweepRequest(follower.sweep_id).body()
            )
            observe.until(partial(self._is_swept, follower), PATIENCE_SECONDS)
        account, letters = follower.account, follower.account.of("dead_letter")
        self.checks.that("the sweep accounts for every selected secret", account.complete)
        self.checks.that(
            f"only {TAKEN.name} is a dead letter of it", [*map(secret_name, letters)] == [TAKEN.name]
        )
        self.checks.that(f"it finds {UNTOLD.name}, for which there was no event", self._is_in_sync(UNTOLD))
        everything = (*CASES, UNTOLD)
        selected = [case for case in everything if case.desired]
        self.checks.that(
            f"the sweep selects {len(selected)} secrets", sum(account.selected_on.values()) == len(selected)
        )
        left_out = ", ".join(case.name for case in everything if not case.desired)
        now = "".join(f"{region} {status}" for region, status in self._statuses(UNTOLD).items())
        self.console.print(
            f"{account}\nThese are {len(everything)} secrets, the {len(CASES)} above and {UNTOLD.name} "
            f"({UNTOLD.story}), but for {left_out}, which nothing selects.\n{UNTOLD.name} now: {now}.\n"
        )

    def _is_swept(self, follower: Follower) -> bool:
        follower.look()
        self.log.read()
        return follower.account.complete

    def _has_converged(self, times: int) -> bool:
        self.relay.check()
        self.log.read()
        lines = [line for line in self.log.lines if secret_name(line.fact("secret")) == MISTAKEN.name]
        return [line.fact("outcome") for line in lines].count("converged") >= times

    def _check_other_secret(self, arn: str) -> None:
        found = observe.describe(self.stack.aws, TAKEN_IN, TAKEN.name)
        as_it_was = found and found["ARN"] == arn and "PrimaryRegion" not in found
        self.checks.that(f"the other {TAKEN.name}, in {TAKEN_IN}, is as it was", as_it_was)

    def _check_values(self, letters: Sequence[DeadLetter]) -> None:
        logged = [line.event + json.dumps(dict(line.facts)) for line in self.log.lines]
        written = [letter.body + json.dumps(dict(letter.reasons)) for letter in letters]
        hidden = logged and written and not any(MARK in text for text in logged + written)
        self.checks.that("no value is in the function's log or in a dead letter", hidden)

    def _nothing_left(self) -> bool:
        return observe.backlog(self.stack.clients.queues, self.stack.queue_url) == 0


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines() if line).replace("[", "\\[")


def redrive(stack: Stack, letter: DeadLetter) -> int:
    """Move the letters of this letter's secret as `replicas redrive --secret` does; return how many."""
    queues = Queues(stack.clients.queues, stack.queue_url, stack.dead_letter_queue_url)
    chosen = choose(read_letters(queues, _ignore), [letter.secret], [])
    return move(queues, chosen, _ignore, everything=False)


def run(console: Console) -> int:
    """Play the demo; return the exit code: 0 if everything shown is as promised."""
    began = time.monotonic()
    with local_stack(partial(step, console)) as stack:
        stack.clients.secrets.create_secret(
            Name=UNTOLD.name, SecretString=value(), Tags=_aws_tags(UNTOLD.tags)
        )
        relay = Relay(stack.clients, _ignore)
        log = FunctionLog(stack.clients.logs, stack.log_group)
        play = Play(stack, console, log, relay)
        with relay.running():
            play.play()
    return _report(console, play.checks, time.monotonic() - began)


def _report(console: Console, checks: Checks, seconds: float) -> int:
    if checks.broken:
        console.print(f"{checks.kept} checks are as promised, {len(checks.broken)} are not:")
        for promise in checks.broken:
            console.print(f"  {promise}", markup=False)
        return 1
    console.print(
        f"{checks.kept} checks, all as promised. {seconds:.0f} s in all; nothing is left running.\n"
        "Next: `make local` keeps this stack up for your own secrets; docs/tutorial/first-deployment.md "
        "leads to AWS."
    )
    return 0


def _secret_in(body: str) -> str:
    response = json.loads(body)["detail"]["responseElements"]
    return str(response["arn"]) if response else ""


def _aws_tags(tags: Mapping[str, str]) -> "Sequence[TagTypeDef]":
    return [{"Key": key, "Value": text} for key, text in tags.items()]


def _ignore(_news: Delivery | int) -> None:
    """In the demo nobody wants to see each delivery, or each letter."""
