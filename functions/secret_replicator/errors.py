"""What can go wrong, classified by what to do next."""

AGAIN = "redrive it when AWS answers again"
"""What a person can do about what AWS did not answer."""


class ReplicatorError(Exception):
    """A secret is not where it must be: what is wrong, and what a person can do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} - {remedy}")
        self.problem = problem
        self.remedy = remedy
        self.secret = ""
        self.regions: tuple[str, ...] = ()

    def about(self, secret: str, regions: tuple[str, ...], known: str = "") -> "ReplicatorError":
        """Return this error with the secret's ARN, the Regions not as they must be, and what is known."""
        self.secret, self.regions = secret, regions
        self.problem = "; ".join(filter(None, (self.problem, known)))
        return self


class TransientError(ReplicatorError):
    """It may come right by itself: try again later."""


class SecretNotFoundError(TransientError):
    """There is no such secret, or AWS does not show it yet."""


class RefusedError(TransientError):
    """AWS refused the call as invalid. Permanent only when seen twice."""


class AccessDeniedError(TransientError):
    """A permission is missing. Permanent only when seen twice: IAM needs seconds to know a new one."""


class KeyRefusedError(TransientError):
    """A KMS key may not or cannot be used: a new key, or a new key policy, needs minutes."""


class DeadlineExceededError(TransientError):
    """The function's time ends before the call could: the message goes back at once."""


class PermanentError(ReplicatorError):
    """It stays wrong until a person fixes it: dead-letter it."""


class MalformedMessageError(PermanentError):
    """The message names no secret in any shape we know."""


class PolicyError(Exception):
    """policy.toml is wrong: every reason at once, each with its section and key."""

    def __init__(self, source: str, reasons: list[str]) -> None:
        super().__init__(f"{source} is wrong:\n" + "\n".join(f"  {reason}" for reason in reasons))
        self.reasons = reasons


class SettingsError(Exception):
    """A variable of the function's environment is missing or wrong."""
