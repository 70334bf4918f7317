"""What the demo promises: every promise is checked, and those that are not kept are named."""

from dataclasses import dataclass, field


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
