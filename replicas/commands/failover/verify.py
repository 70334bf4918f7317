"""`replicas verify`: the proof from the other side, by version ids that both Regions list."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from replicas.aws.accounts import ACCOUNT, Answers, ask_each
from replicas.aws.connection import MAX_CONNECTIONS, connect
from replicas.aws.deployment import Deployment, deployments
from replicas.aws.held import Held
from replicas.aws.region_secrets import RegionSecrets, region_secrets
from replicas.errors import DeniedError, OperatorError
from replicas.exit_codes import CHANGES, FAILED, OK, WAITING
from replicas.failover.states import SOUND, Finding, Pair, State, finding, state_of, with_aws_status
from replicas.interrupts import reading_threads
from replicas.inventory.inventory import require_some
from replicas.options import Choice, Scope, VerifyOptions
from replicas.terminal import Cell, Column, Moment, Report, Screen, count, counted
from secret_replicator.planner import decision

LAG_SECONDS = 600
"""ListSecrets may lag five minutes: what changed within twice that is asked again."""

_NO_TAGS: Mapping[str, str] = {}

_COLUMNS = (
    ACCOUNT,
    Column("Primary", shared=True),
    Column("Secret", short=False),
    Column("Region"),
    Column("State"),
    Column("AWS says"),
    Column("Since (UTC)", labelled=True),
    Column("Why", short=False, below=True),
)
_COLUMNS_OF_ONE_REGION = (
    *(ACCOUNT, Column("Primary"), Column("Secret", short=False)),
    *(Column("Version"), Column("Changed (UTC)")),
)


@dataclass
class Verified:
    """What was found in an account, or in several: all states, and a finding for what is not sound."""

    account: str = ""
    states: defaultdict[str, dict[str, State]] = field(default_factory=lambda: defaultdict(dict))
    """By Region, then by ARN."""
    findings: list[Finding] = field(default_factory=list)
    not_comparable: list[str] = field(default_factory=list)
    unchecked_keys: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    """The Regions that could not be read, each with the reason."""

    @property
    def counts(self) -> Counter[State]:
        """How many replicas are in each state."""
        return Counter(state for replicas in self.states.values() for state in replicas.values())

    @property
    def exit_code(self) -> int:
        """0 all is there, 1 a Region could not be read, 2 some need attention, 3 some is under way."""
        if self.unread:
            return FAILED
        if any(found.needs_attention for found in self.findings):
            return CHANGES
        return WAITING if any(found.waits for found in self.findings) else OK

    def note(self, found: Finding) -> None:
        """Note its state, and keep it if there is something to say."""
        self.states[found.region][found.arn] = found.state
        if found.state not in SOUND:
            self.findings.append(replace(found, account=self.account))

    def place(self, region: str) -> str:
        """Return the Region, with the account if there are several."""
        return f"{self.account} {region}".lstrip()

    def add(self, other: "Verified") -> None:
        """Take in what was found elsewhere."""
        for region, states in other.states.items():
            self.states[region].update(states)
        self.findings += other.findings
        self.not_comparable += other.not_comparable
        self.unchecked_keys += other.unchecked_keys
        self.unread += other.unread

    @property
    def remarks(self) -> Iterator[str]:
        """What limits the findings, in a sentence each."""
        for region in self.not_comparable:
            yield (
                f"{region}: versions cannot be compared here: no replica has a version id of its primary. "
                "What is there is counted, how new it is is not known."
            )
        yield from self.unchecked_keys
        for text in self.unread:
            yield f"{text}. Nothing is said about its replicas."

    def __str__(self) -> str:
        """Say how many are how."""
        counts = self.counts
        wanted = counts.total() - counts[State.UNWANTED]
        regions = count(len(self.states), "Region")
        parts = [f"{counts.pop(State.CURRENT, 0):,} of {count(wanted, 'replica')} current in {regions}"]
        parts += [f"{counts[state]:,} {state}" for state in State if counts[state]]
        if self.unread:
            parts.append(f"{count(len(self.unread), 'Region')} not read")
        return ", ".join(parts)


@dataclass
class _Side:
    """One Region, compared with one primary Region."""

    home: RegionSecrets
    there: RegionSecrets
    clock: Callable[[], float]
    found: Verified
    open: list[Pair] = field(default_factory=list)
    sound: list[Held] = field(default_factory=list)
    comparable: bool = False
    by_key: dict[str, list[tuple[Held, State]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, pair: Pair) -> None:
        """Note a pair as the lists show it: of what is current nothing is kept but its key."""
        self.comparable |= pair.shares_versions
        state = state_of(pair)
        if pair.there and pair.there.kms_key_id and pair.there.is_replica:
            self.by_key[pair.there.kms_key_id].append((pair.primary, state))
        if state is State.CURRENT:
            self.sound.append(pair.primary)
        else:
            self.open.append(pair)


def run(options: VerifyOptions, scope: Scope, screen: Screen, clock: Callable[[], float] = time.time) -> int:
    """Compare, show what is not as it must be, and return the exit code."""
    screen.stopped = "Stopped. Nothing was written."
    if options.from_region:
        return _show_held(options, options.from_region, scope, screen)

    def verified_in(place: Scope, own: Screen) -> Verified:
        verified = Verified(place.account)
        for deployment in deployments(place):
            own.say(str(deployment))
            compare(deployment, options.choice, verified, own, clock)
        return verified

    answers = ask_each(scope, verified_in, Verified(), screen)
    if answers.are_complete:
        require_some(options.choice, "secret", "without it, all are compared")
    answers.total.findings.sort(key=lambda found: found.place)
    _show(options, answers, screen)
    answers.require_all()
    return answers.total.exit_code


def compare(
    deployment: Deployment, choice: Choice, verified: Verified, screen: Screen, clock: Callable[[], float]
) -> None:
    """Compare a Region's primaries with all Regions that must hold them."""
    home = region_secrets(deployment.connection)
    with screen.progress(f"Listing the primaries of {home.region}") as report:
        primaries, wanted = _primaries(home, deployment, choice, report)
    for region in sorted(wanted.keys() | {*deployment.settings.allowed_regions} - {home.region}):
        try:
            there = region_secrets(deployment.connection.in_region(region))
            side = _Side(home, there, clock, Verified(verified.account))
            with screen.progress(f"Listing {region}") as report:
                _read_side(side, primaries, wanted.get(region, set()), choice, report)
            _settle(side)
            verified.add(side.found)
        except OperatorError as error:
            verified.unread.append(f"{verified.place(region)} could not be read: {error}")


def _primaries(
    home: RegionSecrets, deployment: Deployment, choice: Choice, report: Report
) -> tuple[dict[str, Held], dict[str, set[str]]]:
    """Return the chosen secrets by name, and the names that the policy wants in each Region."""
    primaries: dict[str, Held] = {}
    wanted: dict[str, set[str]] = defaultdict(set)
    for held in home.listed():
        report(len(primaries))
        if held.is_replica or not choice.takes(held):
            continue
        decided = decision(held, deployment.policy, deployment.settings, time.time())
        primaries[held.name] = replace(held, tags=_NO_TAGS)  # they are most of it, and decided upon
        for replica in () if decided.skip not in ("", "held") else decided.desired.replicas:
            wanted[replica.region].add(held.name)
    return primaries, wanted


def _read_side(
    side: _Side, primaries: dict[str, Held], wanted: set[str], choice: Choice, report: Report
) -> None:
    """Note all pairs of a Region, and the replicas that nobody wants."""
    region, seen = side.there.region, set[str]()
    for held in counted(side.there.listed(), report):
        if held.name in wanted:
            seen.add(held.name)
            side.add(Pair(primaries[held.name], region, held))
        elif held.primary_region == side.home.region and choice.takes(held):
            home = primaries.get(held.name, held)
            side.found.note(Finding(side.home.region, held.name, home.arn, region, State.UNWANTED))
    for name in sorted(wanted - seen):
        side.add(Pair(primaries[name], region, None))


def _settle(side: _Side) -> None:
    """Ask again what the lists may not show yet, and note the state of each secret."""
    verified = side.found
    verified.states[side.there.region].update((primary.arn, State.CURRENT) for primary in side.sound)
    with reading_threads(MAX_CONNECTIONS) as pool:
        for found in pool.map(lambda pair: _settled(side, pair), side.open):
            verified.note(found)
    if verified.counts[State.PRESENT]:
        verified.not_comparable.append(verified.place(side.there.region))
    _check_keys(side)


def _settled(side: _Side, pair: Pair) -> Finding:
    if _is_not_comparable(side, pair):
        return finding(pair, State.PRESENT)
    try:
        return _asked_again(side, pair)
    except DeniedError as error:  # by the secret's own policy: the list shows it all the same
        shown = finding(pair)
        return replace(shown, why="; ".join(filter(None, [shown.why, f"as listed: {error}"])))


def _asked_again(side: _Side, pair: Pair) -> Finding:
    primary = side.home.describe(pair.primary.arn)
    found = with_aws_status(finding(pair), primary)
    if _recent(pair, side.clock()) or found.contradicts_aws:
        again = Pair(primary or pair.primary, pair.region, side.there.describe(pair.primary.name))
        state = State.PRESENT if _is_not_comparable(side, again) else None
        found = with_aws_status(finding(again, state), primary)
    return found


def _is_not_comparable(side: _Side, pair: Pair) -> bool:
    """Tell whether its version differs in a Region in which no replica has a version id of its primary."""
    return state_of(pair) is State.BEHIND and not (side.comparable or pair.shares_versions)


def _recent(pair: Pair, now: float) -> bool:
    changes = [side.last_changed for side in (pair.primary, pair.there) if side and side.last_changed]
    return any(now - changed.timestamp() < LAG_SECONDS for changed in changes)


def _check_keys(side: _Side) -> None:
    """Ask about each key once; a replica that is sound but for its key is not."""
    verified = side.found
    sound = {State.CURRENT} if side.comparable else {State.CURRENT, State.BEHIND}
    for key, replicas in sorted(side.by_key.items()):
        try:
            problem = side.there.key_problem(key)
        except OperatorError as error:
            place = verified.place(side.there.region)
            verified.unchecked_keys.append(f"{place}: {key} could not be checked: {error}")
            continue
        for primary, state in replicas if problem else ():
            if state in sound:
                pair = Pair(primary, side.there.region, None)
                verified.note(finding(pair, State.KEY_UNUSABLE, problem))


def _show(options: VerifyOptions, answers: Answers[Verified], screen: Screen) -> None:
    verified = answers.total
    loud = sum(found.contradicts_aws for found in verified.findings)
    if options.as_json:
        counts = {str(state).replace(" ", "_"): verified.counts[state] for state in State}
        summary = {**counts, "contradicts_aws": loud, "text": f"Verified: {verified}"}
        screen.write_json({**entries(verified), "summary": summary, "accounts": answers.entries()})
        return
    if loud:
        text = f"AWS says InSync, and it is not so: {count(loud, 'replica')}, the first below"
        screen.show(text, "bold red")
    if verified.findings:
        screen.table(_COLUMNS, [_line(found) for found in verified.findings])
    for text in verified.remarks:
        screen.show(text)
    answers.show(screen)
    screen.show(f"Verified: {verified}", "bold")


def _line(found: Finding) -> tuple[Cell, ...]:
    return (
        *(found.account, found.home, found.name, found.region),
        *(str(found.state), found.aws_says or "-", Moment(found.since), found.why or "-"),
    )


def entries(verified: Verified) -> dict[str, Any]:
    """Return what is not as it must be, and what is not known, as JSON has it."""
    replicas = [
        {
            "account": found.account or None,
            "primary_region": found.home,
            "name": found.name,
            "arn": found.arn,
            "region": found.region,
            "status": str(found.state),
            "since": found.since.isoformat() if found.since else None,
            "aws_says": found.aws_says or None,
            "why": found.why or None,
        }
        for found in verified.findings
    ]
    return {
        "replicas": replicas,
        "not_comparable": verified.not_comparable,
        "unchecked_keys": verified.unchecked_keys,
        "unread_regions": verified.unread,
    }


@dataclass
class _Holding:
    """What a Region holds, of an account or of several: each secret with its account."""

    region: str
    secrets: list[tuple[str, Held]] = field(default_factory=list)

    def add(self, other: "_Holding") -> None:
        """Take in what it holds of another account, or of the same under another name: each secret once."""
        known = {held.arn for _, held in self.secrets}
        self.secrets += [(account, held) for account, held in other.secrets if held.arn not in known]

    def __str__(self) -> str:
        """Say how many are whose."""
        primaries = Counter(held.primary_region for _, held in self.secrets if held.is_replica)
        parts = [f"{count(number, 'replica')} of {home}" for home, number in sorted(primaries.items())]
        alone = sum(not held.is_replica for _, held in self.secrets)
        return f"{self.region} holds " + ", ".join([*parts, f"{alone:,} that follow nobody"])


def _show_held(options: VerifyOptions, region: str, scope: Scope, screen: Screen) -> int:
    def held_in(place: Scope, own: Screen) -> _Holding:
        there = region_secrets(connect(place.access(region)))
        with own.progress(f"Listing {region}") as report:
            chosen = [held for held in counted(there.listed(), report) if options.choice.takes(held)]
        chosen.sort(key=lambda held: held.name)
        return _Holding(region, [(place.account, held) for held in chosen])

    answers = ask_each(scope, held_in, _Holding(region), screen)
    entries = [_here(*secret) for secret in answers.total.secrets]
    if answers.are_complete:
        require_some(options.choice, f"secret in {region}", "without it, all that are there are shown")
    if options.as_json:
        summary = {"secrets": len(entries), "text": str(answers.total)}
        document = {"region": region, "secrets": entries, "summary": summary, "accounts": answers.entries()}
        screen.write_json(document)
    else:
        screen.table(_COLUMNS_OF_ONE_REGION, [_held_line(*secret) for secret in answers.total.secrets])
        answers.show(screen)
        screen.show(str(answers.total), "bold")
    answers.require_all()
    return OK


def _held_line(account: str, held: Held) -> tuple[Cell, ...]:
    primary = held.primary_region if held.is_replica else "standalone"
    return account, primary, held.name, held.current, Moment(held.last_changed)


def _here(account: str, held: Held) -> dict[str, str | None]:
    return {
        "account": account or None,
        "primary_region": held.primary_region if held.is_replica else None,
        "name": held.name,
        "arn": held.arn,
        "version": held.current or None,
        "changed": held.last_changed.isoformat() if held.last_changed else None,
    }
