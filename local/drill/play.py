"""`make drill`: verify, promote, live there, come back; what is shown is checked."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from local.console import step
from local.drill.scene import HOME, SECRETS, THERE, THIRD, Scene
from local.drill.two_stacks import two_stacks
from local.errors import LocalError
from replicas.commands.failover import promote, rejoin, verify
from replicas.commands.failover.session import Surroundings
from replicas.exit_codes import CHANGES, OK, exit_code
from replicas.failover.hold import HOLD_TAG
from replicas.options import Choice, PromoteOptions, RejoinOptions, Scope, VerifyOptions
from replicas.terminal import Screen

TURNED, ACCEPTED, BOTH, NEW = ("app/00", "app/01", "app/02"), "app/03", "app/04", "new/00"


def run(console: Console, worlds: str = "") -> int:
    """Play the drill on this machine; return 0, or raise LocalError for the first thing that is not so."""
    began = time.monotonic()
    with two_stacks(partial(step, console), worlds) as scene:
        play(scene, Screen(console, console))
    console.print(f"Nothing was lost. The drill took {time.monotonic() - began:.0f} s.")
    return 0


def play(scene: Scene, screen: Screen) -> None:
    """Play every act; raise LocalError for the first thing that is not so."""
    acts = (
        (f"{SECRETS} secrets are replicated, and it is proved from the other side", _before),
        (f"{HOME} does not answer: the replicas of {THERE} are promoted", _during),
        (f"Life goes on in {THERE}: three secrets get new values, one is created", _alone),
        (f"{HOME} is back: what is unchanged is rejoined, the rest is named", _back),
        ("Three decisions are asked for, and taken", _decisions),
        ("Every value is the current one, or was discarded by name", _after),
    )
    for number, (title, act) in enumerate(acts, start=1):
        screen.out.print()
        screen.show(f"{number}. {title}", "bold")
        act(scene, screen)


def _before(scene: Scene, screen: Screen) -> None:
    for number in range(SECRETS):
        scene.create(HOME, f"app/{number:02}", f"{THERE} {THIRD}" if number % 4 == 0 else THERE)
    scene.functions_run(HOME)
    expect(_verify(scene, screen), OK, "verify says that all is there")


def _during(scene: Scene, screen: Screen) -> None:
    scene.switch_off(HOME)
    expect(scene.state(HOME), "off", f"{HOME} does not answer")
    some = VerifyOptions(choice=Choice(["app/0[0-2]"]), from_region=THERE)
    _command(screen, f"verify --from {THERE} --secret app/0[0-2]")
    code = verify.run(some, Scope(regions=[THERE], endpoint_url=scene.url), screen)
    expect(code, OK, "the Region answers alone")
    expect(_promote(scene, screen, dry_run=True), OK, "the rehearsal writes nothing")
    expect(scene.through_kills(lambda: _promote(scene, screen)), OK, "all are promoted")
    open_ = [held.name for held in scene.held(THERE) if held.is_replica or HOLD_TAG not in held.tags]
    expect(open_, [], "all are promoted and held")
    scene.functions_run(THERE)
    expect({*scene.reported(THERE, "held")}, {*scene.written}, f"the stack of {THERE} leaves them alone")


def _alone(scene: Scene, screen: Screen) -> None:
    for name in TURNED:
        scene.put(THERE, name)
    scene.create(THERE, NEW, "none")
    expect(scene.read(THERE), scene.written, f"the application reads every current value in {THERE}")
    screen.show(f"The application reads all {len(scene.written)} secrets in {THERE}")


def _back(scene: Scene, screen: Screen) -> None:
    scene.switch_on(HOME)
    expect(scene.state(HOME), "on", f"{HOME} answers again")
    scene.functions_run(HOME)
    reported = sorted({*scene.written} - {NEW}) if scene.shows_promoted else []
    expect(scene.reported(HOME, "promoted"), reported, f"the stack of {HOME} reports each copy, once")
    if reported:
        screen.show(f"The stack of {HOME} reports {len(reported)} promoted copies as drift, and leaves them")
    scene.put(HOME, ACCEPTED)
    scene.put(THERE, BOTH)
    scene.discarded[BOTH] = scene.written[BOTH]
    scene.put(HOME, BOTH)
    scene.functions_run(HOME, THERE)
    expect(_rejoin(scene, screen, _rejoining(scene)), CHANGES, "five are left to decide about")
    left = [held.name for held in scene.held(THERE) if not held.is_replica]
    expect(left, [*TURNED, ACCEPTED, BOTH, NEW], "only those that changed are left")


def _decisions(scene: Scene, screen: Screen) -> None:
    asked = _rejoining(scene)
    for text, options, code in (
        (f"--primary {THERE}", replace(asked, primary=THERE), CHANGES),
        ("--accept-home", replace(asked, accept_home=True), CHANGES),
        (f"--discard {BOTH}", replace(asked, discard=[BOTH]), OK),
    ):
        scene.functions_run(HOME, THERE)
        expect(_rejoin(scene, screen, options, text), code, f"{text} does what it says")


def _after(scene: Scene, screen: Screen) -> None:
    scene.functions_run(HOME, THERE)
    for region in (HOME, THERE):
        values = scene.read(region)
        expected = {name: value for name, value in scene.written.items() if name != NEW or region == THERE}
        expect(values, expected, f"every value that was written is the current one in {region}")
    held = [found for region in (HOME, THERE, THIRD) for found in scene.held(region)]
    expect([found.arn for found in held if HOLD_TAG in found.tags], [], "nothing is held any more")
    expect(_verify(scene, screen), OK, "verify says that all is there")
    screen.show(f"Discarded by name: {', '.join(scene.discarded)}")


def _verify(scene: Scene, screen: Screen) -> int:
    _command(screen, "verify")
    return exit_code(lambda: verify.run(VerifyOptions(), scene.scope(), screen, scene.clock), screen)


def _promote(scene: Scene, screen: Screen, *, dry_run: bool = False) -> int:
    _command(screen, f"promote --replica-region {THERE}" + (" --dry-run" if dry_run else ""))
    asked = PromoteOptions(replica_region=THERE, journal=_journal(scene), yes=True, dry_run=dry_run)
    return exit_code(lambda: promote.run(asked, scene.access(THERE), screen, _around(scene)), screen)


def _rejoin(scene: Scene, screen: Screen, asked: RejoinOptions, text: str = "") -> int:
    def work() -> int:
        _command(screen, f"rejoin --replica-region {THERE} {text}".rstrip())
        return exit_code(lambda: rejoin.run(asked, scene.access(THERE), screen, _around(scene)), screen)

    return scene.through_kills(work)


def _rejoining(scene: Scene) -> RejoinOptions:
    return RejoinOptions(replica_region=THERE, journal=_journal(scene), yes=True)


def _around(scene: Scene) -> Surroundings:
    return Surroundings(scene.operators, scene.clock, scene.sleep)


def _journal(scene: Scene) -> Path:
    return scene.folder / f"failover-{THERE}.jsonl"


def _command(screen: Screen, text: str) -> None:
    screen.show(f"$ replicas {text}", "cyan")


def expect(seen: object, expected: object, promise: str) -> None:
    """Raise LocalError if it is not so."""
    if seen != expected:
        raise LocalError(f"It is not so that {promise}: {seen} instead of {expected}")
