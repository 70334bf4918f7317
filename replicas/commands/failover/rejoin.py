"""`replicas rejoin`: one primary again, and nothing that changed is overwritten without being named."""

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from replicas.aws.held import Held, arn_in
from replicas.aws.region_secrets import Check, RegionSecrets
from replicas.commands.failover.session import (
    REAL,
    Result,
    Surroundings,
    Wording,
    carry_out,
    each,
    end,
    journal_file,
    journal_of,
)
from replicas.errors import DeniedError, OperatorError
from replicas.exit_codes import CHANGES, OK
from replicas.failover import journal
from replicas.failover.compare import Action, Change, Sides, action, change, comparable, remedy
from replicas.failover.hold import HOLD_TAG, hold_value, is_held, is_held_by_us
from replicas.failover.journal import Entry, Journal, JournalError
from replicas.failover.states import short
from replicas.inventory.inventory import require_some
from replicas.options import Access, RejoinOptions
from replicas.terminal import Column, Moment, Report, Screen, count
from secret_replicator.gateway import name_in
from secret_replicator.models import FAILED as REPLICA_FAILED
from secret_replicator.models import IN_SYNC, Replica, Secret

POLL_SECONDS = 2.0
IN_PROGRESS = "InProgress"
TIMEOUT_SECONDS = 300

_HOME = re.compile(r" from ([a-z0-9-]+)(?::|$)")


@dataclass(frozen=True)
class Candidate:
    """A promoted secret, and what is to be done about it."""

    sides: Sides
    found: Change
    action: Action
    problem: str = ""
    """Why it could not be compared."""

    @property
    def name(self) -> str:
        """The secret's name."""
        return self.sides.name


@dataclass
class _Desk:
    """What the work needs: both sides, the journal, and time."""

    options: RejoinOptions
    access: Access
    log: Journal
    around: Surroundings
    regions: dict[str, RegionSecrets] = field(default_factory=dict)
    other_accounts: set[str] = field(default_factory=set)
    """Of which the journal tells, too."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def secrets(self, region: str) -> RegionSecrets:
        """Return a Region's secrets."""
        with self._lock:
            if region not in self.regions:
                access = replace(self.access, region=region)
                self.regions[region] = self.around.regions(access, self.options.writes_per_second)
            return self.regions[region]

    def now(self, held: Held) -> Held:
        """Return the secret as it is now; as it was if it is gone."""
        return self.secrets(held.region).describe(held.arn) or held

    @contextmanager
    def step(
        self, action: str, held: Held, regions: Mapping[str, str] | None = None
    ) -> Iterator[RegionSecrets]:
        """Let a step about a primary be done in the block: before and after it is in the journal."""
        with self.log.step(action, held, held.region, regions):
            yield self.secrets(held.region)

    def sides(self, home_region: str, identity: str) -> Sides:
        """Return how both sides are now."""
        region = self.options.replica_region
        home, there = self._held_in(home_region, identity), self._held_in(region, identity)
        promoted = self.log.promotion(identity)
        steps = self.log.steps.get(identity, ())
        since = tuple(step for step in steps if promoted is None or step.time >= promoted.time)
        return Sides(home_region, region, identity, home, there, since, promoted)

    def _held_in(self, region: str, identity: str) -> Held | None:
        """Return the secret in a Region, else another one that has its name there."""
        secrets = self.secrets(region)
        return secrets.describe(arn_in(region, identity)) or secrets.describe(name_in(identity))


def run(options: RejoinOptions, access: Access, screen: Screen, around: Surroundings = REAL) -> int:
    """Compare both sides, do what may be done, and return the exit code."""
    screen.stopped = (
        "Stopped. Every value is still in at least one Region, and every step in the journal "
        f"{journal_file(options)}: run it again, and it goes on where it stopped."
    )
    around = replace(around, stopped=threading.Event())
    desk = _Desk(options, access, journal_of(options, around), around)
    with screen.progress("Comparing both sides") as report:
        candidates = [*_candidates(desk, report)]
    if desk.other_accounts:
        others = ", ".join(sorted(desk.other_accounts))
        screen.say(f"The journal also tells of secrets in {others}, not in this account: they are left.")
    shows = "without it, all that were promoted are shown with --dry-run"
    require_some(options.choice, f"secret that was promoted in {options.replica_region}", shows)
    if not options.as_json:
        _show(options, candidates, screen)
    denied = [Result(candidate.name, candidate.problem) for candidate in candidates if candidate.problem]
    work = [candidate for candidate in candidates if candidate.action is not Action.LEAVE]
    wording = Wording(_question(options, work), "Nothing was changed.", "Rejoining")
    results = carry_out(options, work, lambda candidate: _do(desk, candidate), wording, screen, desk.around)
    return OK if results is None else _end(options, candidates, [*denied, *results], screen)


def _candidates(desk: _Desk, report: Report) -> Iterator[Candidate]:
    """Yield what was promoted here: by the journal, and by the hold tag where that is lost."""
    homes, accounts = dict[str, str](), set[str]()
    options, known = desk.options, desk.log.promoted()
    for held in desk.secrets(options.replica_region).listed():
        accounts.add(_account_in(held.arn))
        if (home := _home_of(held, known.get(held.identity))) and options.choice.takes(held):
            homes[held.identity] = home
    for identity, entry in known.items():
        if accounts and (account := _account_in(entry.arn)) not in accounts:
            desk.other_accounts.add(account)
        elif options.choice.takes(Secret(arn=entry.arn, name=entry.name, tags={})):
            homes.setdefault(identity, entry.primary_region)
    yield from each(homes.items(), lambda pair: _candidate(desk, *pair), report, desk.around)


def _account_in(arn: str) -> str:
    return arn.split(":")[4]


def _home_of(held: Held, promoted: Entry | None) -> str:
    """Return the Region of its primary if it was promoted, nothing if it was not."""
    if promoted:
        return promoted.primary_region
    if not is_held_by_us(held.tags):
        return ""
    said = _HOME.search(held.tags[HOLD_TAG])
    return held.primary_region if held.is_replica else (said[1] if said else "")


def _candidate(desk: _Desk, identity: str, home_region: str) -> Candidate:
    try:
        sides = desk.sides(home_region, identity)
    except DeniedError as error:  # by the secret's own policy: the others are compared all the same
        sides = Sides(home_region, desk.options.replica_region, identity, None, None)
        return Candidate(sides, Change.DENIED, Action.LEAVE, str(error))
    found = change(sides)
    return Candidate(sides, found, action(found, sides.name, desk.options))


def _do(desk: _Desk, candidate: Candidate) -> Result:
    ways = {Action.REJOIN: _rejoin, Action.TURN: _turn, Action.FINISH: _finish}
    try:
        ways[candidate.action](desk, candidate.sides)
    except JournalError:
        raise
    except OperatorError as error:
        return Result(candidate.name, str(error))
    return Result(candidate.name)


def _rejoin(desk: _Desk, sides: Sides) -> None:
    """Let home be replicated over the copy; raise OperatorError for what keeps it from that."""
    home, there = sides.home, sides.there
    if home is None:
        raise OperatorError("it is on neither side")
    key = there.kms_key_id if there else _key_in_journal(sides, sides.region)
    _hold_home(desk, home)
    home = _settled(desk, home, sides.region)
    there = there and _settled(desk, there, sides.home_region)
    if begun := _begun_before(desk, sides):
        _finish(desk, begun)
        return
    live = [replica for replica in there.replicas if replica.status != REPLICA_FAILED] if there else []
    if live:
        own = ", ".join(replica.region for replica in live)
        raise OperatorError(
            f"in {sides.region} it has replicas of its own, in {own}, which would follow nobody: "
            "remove them there first"
        )
    if home.replica_in(sides.region):
        _remove(desk, sides, home, [sides.region], may_be_gone=True)
    check = partial(_require_unchanged, desk, sides, may_be_gone=True)
    target = Replica(sides.region, "", kms_key_id=key)
    _replicate(desk, home, [target], overwrite=there is not None, check=check)
    _follow_home(desk, sides, home)


def _turn(desk: _Desk, sides: Sides) -> None:
    """Let the copy be the primary, and home and its other Regions follow it; raise OperatorError."""
    home, there = sides.home, sides.there
    if there is None:
        raise OperatorError("it is not there any more")
    if there.deleted:
        raise OperatorError(f"it is scheduled for deletion in {there.region}: restore it there first")
    if home:
        _hold_home(desk, home)
        left = [replica.region for replica in home.replicas if replica.region != sides.region]
        if left:
            _require_replicas(desk, sides, left)
            _remove(desk, sides, home, left)
    there = _settled(desk, there, sides.home_region)
    if begun := _begun_before(desk, sides):
        _finish(desk, begun)
        return
    key = home.kms_key_id if home else _key_in_journal(sides, sides.home_region)
    back = Replica(sides.home_region, "", kms_key_id=key)
    _forget_failed(desk, there, [back])
    check = partial(_require_unchanged, desk, sides)
    _replicate(desk, there, [back], overwrite=home is not None, check=check)
    _follow_turned(desk, sides, there)


def _finish(desk: _Desk, sides: Sides) -> None:
    """Go on where an earlier run was stopped; raise OperatorError."""
    if sides.there and change(sides) is Change.TURNED:
        _follow_turned(desk, sides, sides.there)
    elif sides.home:
        _follow_home(desk, sides, sides.home)
    else:
        raise OperatorError("its primary is gone")


def _follow_home(desk: _Desk, sides: Sides, home: Held) -> None:
    """Wait for the copy, and for the other Regions if an earlier run with --primary has removed them."""
    now = desk.now(home)
    removed = [replica for replica in _other_regions(sides) if not now.replica_in(replica.region)]
    _replicate_each(desk, home, removed)
    _follow_and_release(desk, home, [sides.region, *(replica.region for replica in removed)])


def _follow_turned(desk: _Desk, sides: Sides, there: Held) -> None:
    _follow(desk, there, [sides.home_region])
    others = _other_regions(sides)
    _forget_failed(desk, desk.now(there), others)
    _replicate_each(desk, there, others)
    _follow_and_release(desk, there, [sides.home_region, *(replica.region for replica in others)])


def _forget_failed(desk: _Desk, primary: Held, replicas: list[Replica]) -> None:
    """Take Regions off the list in which an earlier attempt failed: nothing of this primary is there."""
    listed = [primary.replica_in(replica.region) for replica in replicas]
    failed = {found.region: found.kms_key_id for found in listed if found and found.status == REPLICA_FAILED}
    if failed:
        with desk.step(journal.REMOVE, primary, failed) as secrets:
            secrets.remove(primary.arn, failed)


def _hold_home(desk: _Desk, home: Held) -> None:
    """Keep the stack at home from working on it meanwhile."""
    reason = f"replicas rejoin --replica-region {desk.options.replica_region}"
    with desk.step(journal.HOLD, home) as secrets:
        if not is_held(home.tags):
            secrets.tag(home.arn, HOLD_TAG, hold_value(reason, home.region, desk.around.now()))


def _settled(desk: _Desk, primary: Held, region: str) -> Held:
    """Return the primary as it is once nothing is under way to the Region: what an earlier run asked for."""
    waited = 0.0
    while True:
        now = desk.now(primary)
        replica = now.replica_in(region)
        if replica is None or replica.status != IN_PROGRESS or waited >= TIMEOUT_SECONDS:
            return now
        desk.around.wait(POLL_SECONDS)
        waited += POLL_SECONDS


def _begun_before(desk: _Desk, before: Sides) -> Sides | None:
    """Return how both sides are if what an earlier run had asked for has happened by now."""
    now = desk.sides(before.home_region, before.identity)
    return now if change(now) in (Change.FOLLOWS, Change.TURNED) else None


def _require_unchanged(desk: _Desk, before: Sides, *, may_be_gone: bool = False) -> None:
    """Describe both sides again, right before one is overwritten; raise OperatorError if they changed.

    AWS may take the copy away with its entry at home: then nothing is left that could be overwritten.
    """
    now = desk.sides(before.home_region, before.identity)
    if not (now.same_as(before) or (may_be_gone and now.there is None)):
        raise OperatorError("it changed in between, and was left: run it again to see how")


def _require_replicas(desk: _Desk, sides: Sides, regions: list[str]) -> None:
    """Raise OperatorError for a promoted copy: AWS may delete it with its entry at home."""
    for region in regions:
        copy = desk.secrets(region).describe(arn_in(region, sides.identity))
        if copy and not copy.is_replica:
            raise OperatorError(
                f"it was promoted in {region}, too: first run rejoin with --replica-region {region}"
            )


def _remove(desk: _Desk, sides: Sides, home: Held, regions: list[str], *, may_be_gone: bool = False) -> None:
    keys = {region: (home.replica_in(region) or Replica(region, "")).kms_key_id for region in regions}
    if sides.there and sides.there.region in keys:
        keys[sides.there.region] = sides.there.kms_key_id
    with desk.step(journal.REMOVE, home, keys) as secrets:
        secrets.remove(home.arn, regions, partial(_require_unchanged, desk, sides, may_be_gone=may_be_gone))


def _replicate(
    desk: _Desk, primary: Held, replicas: list[Replica], *, overwrite: bool, check: Check | None = None
) -> None:
    """Ask for the replicas that no earlier run has asked for, or that failed."""
    listed = [replica for replica in desk.now(primary).replicas if replica.status not in (REPLICA_FAILED, "")]
    asked_for = {replica.region for replica in listed}
    if wanted := [replica for replica in replicas if replica.region not in asked_for]:
        keys = {replica.region: replica.kms_key_id for replica in wanted}
        with desk.step(journal.REPLICATE, primary, keys) as secrets:
            secrets.replicate(primary.arn, wanted, overwrite=overwrite, check=check)


def _replicate_each(desk: _Desk, primary: Held, replicas: list[Replica]) -> None:
    """Ask for each Region alone: one that is refused keeps no other from its replica."""
    refused = []
    for replica in replicas:
        try:
            _replicate(desk, primary, [replica], overwrite=False)
        except OperatorError as error:
            refused.append(f"{replica.region}: {error}")
    if refused:
        raise OperatorError("; ".join(refused))


def _follow(desk: _Desk, primary: Held, regions: list[str]) -> None:
    """Wait until all are InSync and hold the primary's version; raise OperatorError if they do not."""
    waited = 0.0
    while True:
        now = desk.now(primary)
        found = [now.replica_in(region) or Replica(region, "not listed") for region in regions]
        open_ = [replica for replica in found if replica.status != IN_SYNC]
        failed = [replica for replica in open_ if replica.status == REPLICA_FAILED]
        if failed or (open_ and waited >= TIMEOUT_SECONDS):
            said = [f"{replica.region} is {replica.status}: {replica.message}" for replica in failed or open_]
            raise OperatorError("; ".join(said))
        if not open_:
            break
        desk.around.wait(POLL_SECONDS)
        waited += POLL_SECONDS
    for region in regions:
        _check(desk, now, region)


def _check(desk: _Desk, primary: Held, region: str) -> None:
    """Raise OperatorError unless it follows and holds the version, as seen from the other side."""
    there = desk.secrets(region).describe(arn_in(region, primary.identity))
    if there is None or there.primary_region != primary.region:
        problem = f"in {region} it does not follow {primary.region}"
    elif comparable(primary, there.versions.keys()) and there.current != primary.current:
        problem = f"{region} holds another version"
    else:
        return
    raise OperatorError(f"AWS says InSync, but {problem}: see replicas verify")


def _follow_and_release(desk: _Desk, primary: Held, regions: list[str]) -> None:
    _follow(desk, primary, regions)
    now = desk.now(primary)
    with desk.step(journal.RELEASE, now) as secrets:
        if is_held_by_us(now.tags):
            secrets.untag(now.arn, HOLD_TAG)


def _other_regions(sides: Sides) -> list[Replica]:
    """Return home's other Regions and their keys: as listed, and as an earlier run removed them."""
    keys: dict[str, str] = {}
    for step in sides.steps:
        if step.action == journal.REMOVE and step.region == sides.home_region:
            keys |= step.regions
    if sides.home and not sides.home.is_replica:
        keys |= {replica.region: replica.kms_key_id for replica in sides.home.replicas}
    own = (sides.region, sides.home_region)
    return [Replica(region, "", kms_key_id=key) for region, key in sorted(keys.items()) if region not in own]


def _key_in_journal(sides: Sides, region: str) -> str:
    """Return the key with which a Region was last removed or asked for."""
    keys = [step.regions[region] for step in sides.steps if region in step.regions]
    return keys[-1] if keys else ""


def _question(options: RejoinOptions, work: list[Candidate]) -> str:
    turned = sum(candidate.action is Action.TURN for candidate in work)
    named = [candidate.name for candidate in work if candidate.name in options.discard]
    parts = [f"Rejoin {count(len(work), 'secret')}"]
    parts += [f"{turned:,} of them with {options.replica_region} as the primary"] if turned else []
    parts += [f"and lose for good what the other side of {', '.join(named)} has"] if named else []
    return ", ".join(parts) + "?"


def _show(options: RejoinOptions, candidates: list[Candidate], screen: Screen) -> None:
    columns = (
        Column("Secret", short=False),
        Column("State"),
        Column("At home", labelled=True),
        Column(options.replica_region, labelled=True),
        Column("Done", labelled=True),
        Column("Or", short=False, below=True),
    )
    ordered = sorted(candidates, key=lambda candidate: (candidate.action is not Action.LEAVE, candidate.name))
    if ordered:
        screen.table(columns, [_line(candidate, screen) for candidate in ordered])


def _line(candidate: Candidate, screen: Screen) -> tuple[str, ...]:
    sides = candidate.sides
    left = remedy(candidate.found, sides.region) if candidate.action is Action.LEAVE else "-"
    return (
        candidate.name, str(candidate.found), _version(sides.home, screen), _version(sides.there, screen),
        str(candidate.action), left,
    )  # fmt: skip


def _version(held: Held | None, screen: Screen) -> str:
    if held is None:
        return "-"
    when = f" {screen.when(Moment(held.last_changed))}" if held.last_changed else ""
    return f"{short(held.current)}{when}"


def _end(options: RejoinOptions, candidates: list[Candidate], results: list[Result], screen: Screen) -> int:
    problems = {result.name: result.problem for result in results if result.problem}
    left = Counter(
        str(candidate.found)
        for candidate in candidates
        if candidate.action is Action.LEAVE and not candidate.problem
    )
    secrets = [
        {
            "primary_region": candidate.sides.home_region,
            "name": candidate.name,
            "arn": arn_in(candidate.sides.home_region, candidate.sides.identity),
            "status": str(candidate.found),
            "action": str(candidate.action),
            "why": problems.get(candidate.name),
        }
        for candidate in sorted(candidates, key=lambda candidate: candidate.name)
    ]
    rejoined = len(results) - len(problems)
    summary = {"promoted": len(candidates), "rejoined": rejoined, "left": left.total()}
    text = _account(candidates, results, left)
    return end(options, results, secrets, summary, text, screen) or (CHANGES if left else OK)


def _account(candidates: list[Candidate], results: list[Result], left: Counter[str]) -> str:
    names = {result.name for result in results if not result.problem}
    turned = sum(candidate.action is Action.TURN and candidate.name in names for candidate in candidates)
    problems = sum(bool(result.problem) for result in results)
    states = ", ".join(f"{number:,} {state}" for state, number in sorted(left.items()))
    parts = [f"Rejoined: {len(results) - problems:,} of {count(len(candidates), 'promoted secret')}"]
    parts += [f"{turned:,} of them turned round"] if turned else []
    parts += [f"{problems:,} with a problem"] if problems else []
    parts += [f"{left.total():,} left ({states})"] if left else []
    return ", ".join(parts)
