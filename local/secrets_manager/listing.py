"""ListSecrets of the model: filters, pages, tokens that can be refused, and a list that lags."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import inf

from local.secrets_manager.model import AwsError, Params, Secret, invalid_parameter
from local.secrets_manager.worlds import Worlds

Position = tuple[float, str]


class Listing:
    """What ListSecrets shows. It follows the changes it is told of, `lag_seconds` later."""

    def __init__(self, clock: Callable[[], float], worlds: Worlds) -> None:
        self.lag_seconds = 0.0
        self.token_seconds = inf
        self.short_pages = False
        self._clock = clock
        self._worlds = worlds
        self._history: dict[str, dict[str, list[tuple[float, Params | None]]]] = defaultdict(dict)
        self._tokens: dict[str, tuple[float, Position]] = {}

    def note(self, secret: Secret, *, gone: bool = False) -> None:
        """Remember what a secret looks like from now on."""
        history = self._history[secret.region].setdefault(secret.arn, [])
        history.append((self._clock(), None if gone else secret.listed()))

    def expire_tokens(self) -> None:
        self._tokens.clear()

    def page(self, region: str, secrets: Iterable[Secret], params: Params) -> Params:
        """The list may lag five minutes behind, and a page may be short though more follow.

        Documented: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
        Here: the list only selects; each secret is described.
        Held by: test_the_list_lags_behind, test_a_page_may_be_short_or_empty_though_more_follow,
          function/test_sweep.py.
        """
        size = params.get("MaxResults", 100)
        if not 1 <= size <= 100:
            raise invalid_parameter("MaxResults must be from 1 to 100.")
        size = min(size, self._worlds.secrets_on_a_page)
        start = self._position(params["NextToken"]) if "NextToken" in params else None
        entries = self._rest(self._visible(region, secrets, start), start)
        if not self.short_pages:  # short pages: the filters see only what is on the page, as AWS may do
            entries = (entry for entry in entries if _matches(entry, params))
        page = list(islice(entries, size + 1))
        more, page = page[size:], page[:size]
        answer: Params = {"SecretList": [entry for entry in page if _matches(entry, params)]}
        return answer | ({"NextToken": self._token(region, page[-1])} if more else {})

    def _visible(self, region: str, secrets: Iterable[Secret], start: Position | None) -> Iterator[Params]:
        if not self.lag_seconds:
            after = (s for s in secrets if start is None or (s.created, s.arn) > start)
            return (secret.listed() for secret in sorted(after, key=lambda s: (s.created, s.arn)))
        then = self._clock() - self.lag_seconds
        states = (_state_at(history, then) for history in self._history[region].values())
        return iter(sorted((state for state in states if state), key=_place))

    def _rest(self, entries: Iterator[Params], start: Position | None) -> Iterator[Params]:
        now = self._clock()
        alive = (entry for entry in entries if entry.get("DeletedDate", inf) > now)
        return (entry for entry in alive if start is None or _place(entry) > start)

    def _token(self, region: str, last: Params) -> str:
        token = f"{region}.{len(self._tokens)}.{self._clock()}"
        self._tokens[token] = (self._clock(), _place(last))
        return token

    def _position(self, token: str) -> Position:
        """How long a `NextToken` lives.

        Unknown: for ever, or `token_seconds`
        Here: an expired token begins the sweep anew, once.
        Held by: test_a_token_is_refused_when_it_is_unknown_or_expired, function/test_sweep.py.
        """
        issued, position = self._tokens.get(token, (-inf, (0.0, "")))
        if self._clock() - issued > self.token_seconds or token not in self._tokens:
            raise AwsError("InvalidNextTokenException", "The NextToken value is invalid.")
        return position


def _place(entry: Params) -> Position:
    return entry["CreatedDate"], entry["ARN"]


def _state_at(history: list[tuple[float, Params | None]], then: float) -> Params | None:
    return next((entry for time, entry in reversed(history) if time <= then), None)


def _matches(entry: Params, params: Params) -> bool:
    if "DeletedDate" in entry and not params.get("IncludePlannedDeletion"):
        return False
    return all(_passes(entry, item["Key"], item["Values"]) for item in params.get("Filters", ()))


def _passes(entry: Params, key: str, values: list[str]) -> bool:
    """Filters are independent of each other, prefix-matched and case-sensitive; "!" before a value excludes.

    Documented: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
    Here: tags are compared again in code.
    Held by: filtered_lists, lists_by_primary_and_owner, test_a_list_is_filtered_by_name_owner_and_primary.
    """
    if not values:
        raise invalid_parameter(f"The filter {key} needs a value.")
    texts = _texts(entry, key)
    return any(
        not _begins(texts, value[1:]) if value.startswith("!") else _begins(texts, value) for value in values
    )


def _begins(texts: list[str], value: str) -> bool:
    return any(text.startswith(value) for text in texts)


def _texts(entry: Params, key: str) -> list[str]:
    plain = {"name": "Name", "primary-region": "PrimaryRegion", "owning-service": "OwningService"}
    if key in ("tag-key", "tag-value"):
        return [tag["Key" if key == "tag-key" else "Value"] for tag in entry["Tags"]]
    if key not in plain:
        raise AwsError("NotInTheModel", f"The model does not know the filter {key}.", 501)
    return [entry[plain[key]]] if plain[key] in entry else []
