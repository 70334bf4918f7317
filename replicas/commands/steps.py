"""What there is to say of each secret, Region by Region: one table, its totals and its JSON."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

from replicas.aws.accounts import ACCOUNT, Answers, ask_each
from replicas.aws.deployment import Deployment, deployments
from replicas.exit_codes import CHANGES, OK
from replicas.inventory.inventory import Reading, require_all_read, require_some
from replicas.options import PlanOptions, Scope
from replicas.terminal import Column, Screen
from secret_replicator.models import Problem, Secret

CHANGING = ("add", "retry", "remove")


@dataclass(frozen=True, order=True)
class Step:
    """One thing that would be done about a Region, or reported."""

    action: str
    region: str
    key: str = ""
    why: str = ""
    may_overwrite: bool = False
    """Whether a secret of the same name may be replaced there."""

    @classmethod
    def of_problem(cls, action: str, problem: Problem) -> "Step":
        """Return the step that reports this problem."""
        return cls(action, problem.region, why=f"{problem.text} - {problem.remedy}")

    def entry(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        known = {"region": self.region or None, "key": self.key or None, "why": self.why or None}
        return {"action": self.action, **known, "may_overwrite": self.may_overwrite}

    def __str__(self) -> str:
        """Say what is done, as tables show it."""
        return f"{self.action}, may overwrite" if self.may_overwrite else self.action


@dataclass(frozen=True, order=True)
class Planned:
    """A secret that there is something to say of."""

    home: str
    name: str
    arn: str
    steps: tuple[Step, ...]
    account: str = ""

    def entry(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        identity = {"primary_region": self.home, "name": self.name, "arn": self.arn}
        return {"account": self.account or None, **identity, "steps": [step.entry() for step in self.steps]}

    def has(self, *actions: str) -> bool:
        """Tell whether one of its steps is one of these."""
        return any(step.action in actions for step in self.steps)


@dataclass
class Region:
    """What there is to say of one Region's secrets."""

    deployment: Deployment
    reading: Reading = field(default_factory=Reading)
    planned: list[Planned] = field(default_factory=list)
    unchanged: int = 0

    def add(self, secret: Secret, steps: Iterable[Step], regions: Sequence[str]) -> None:
        """Keep the steps in the Regions that are asked for, if there is one."""
        kept = tuple(step for step in steps if not regions or step.region in regions)
        self.unchanged += not kept
        if kept:
            place = self.deployment
            self.planned.append(Planned(place.region, secret.name, secret.arn, kept, place.account))

    def to_change(self) -> list[str]:
        """Return the ARNs of the secrets that the function would write to."""
        return [secret.arn for secret in sorted(self.planned) if secret.has(*CHANGING)]


class Totals:
    """What the steps of all secrets come to: how many of each kind, and of how many secrets."""

    title: ClassVar[str] = ""
    marks: ClassVar[Mapping[str, str]] = {}
    """The kinds of steps, and how a table marks each."""

    def __init__(self, regions: Sequence[Region] = ()) -> None:
        self.parts = [*regions]
        self.planned = [secret for region in regions for secret in sorted(region.planned)]
        self.steps = Counter(step.action for secret in self.planned for step in secret.steps)
        self.unchanged = sum(region.unchanged for region in regions)

    def add(self, other: Self) -> None:
        """Take in what another account answered."""
        self.parts += other.parts
        self.planned += other.planned
        self.steps.update(other.steps)
        self.unchanged += other.unchanged

    def secrets(self, *actions: str) -> int:
        """Return how many secrets have one of these."""
        return sum(secret.has(*actions) for secret in self.planned)

    @property
    def readings(self) -> list[Reading]:
        """What was read, Region by Region."""
        return [region.reading for region in self.parts]

    @property
    def changing(self) -> int:
        """How many secrets there is something to do about."""
        return len(self.planned)

    def show(self, screen: Screen, answers: "Answers[Self] | None" = None) -> None:
        """Print the steps, a row each, and the totals in one line, before it those of each account."""
        columns = (
            ACCOUNT,
            Column("Primary", shared=True),
            Column("Secret", short=False),
            Column(self.title),
            Column("Region"),
            Column("Key"),
            Column("Why", short=False, below=True),
        )
        rows = [
            (
                *(secret.account, secret.home, secret.name),
                *(f"{self.marks[step.action]} {step}", step.region, step.key, step.why),
            )
            for secret in self.planned
            for step in secret.steps
        ]
        if rows:
            screen.table(columns, rows)
        if answers:
            answers.show(screen)
        screen.show(f"{self.title}: {self}", "bold")

    def document(self, answers: "Answers[Self]", **more: object) -> dict[str, Any]:
        """Return the steps and their totals."""
        counts = {action.replace(" ", "_"): self.steps[action] for action in self.marks}
        text = f"{self.title}: {self}"
        return {
            "secrets": [secret.entry() for secret in self.planned],
            "summary": {**counts, **more, "secrets_unchanged": self.unchanged, "text": text},
            "accounts": answers.entries(),
        }


T = TypeVar("T", bound=Totals)


def run(
    kind: type[T],
    region_of: Callable[[Deployment, Screen], Region],
    options: PlanOptions,
    scope: Scope,
    screen: Screen,
) -> int:
    """Show what there is to say of all accounts; return the exit code, raise OperatorError."""
    screen.stopped = "Stopped. Nothing was written."

    def totals_of(place: Scope, own: Screen) -> T:
        return kind([region_of(deployment, own) for deployment in deployments(place)])

    answers = ask_each(scope, totals_of, kind(), screen)
    if answers.are_complete:
        require_some(options.choice)
    if options.as_json:
        screen.write_json(answers.total.document(answers))
    else:
        answers.total.show(screen, answers)
    require_all_read(answers.total.readings)
    answers.require_all()
    return CHANGES if options.detailed_exitcode and answers.total.changing else OK
