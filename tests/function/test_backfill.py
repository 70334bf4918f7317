"""Two thousand missing secrets: nobody is throttled, neither we nor a rotation, and no time is lost."""

import logging
from pathlib import Path

import pytest

from tests.support.model.timed_account import TimedAccount
from tests.support.world import HOME, make_world

SECRETS = 2_000
INSTANCES = 2
WRITES_PER_SECOND = 20
AWS_WRITES_PER_SECOND = 50
ROTATIONS_PER_SECOND = 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No application metrics to publish")
def test_a_backfill_uses_the_budget_and_throttles_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("secret-replicator"), "propagate", False)
    world = make_world(tmp_path).having(writes_per_second=WRITES_PER_SECOND, maximum_concurrency=INSTANCES)
    account = TimedAccount(world, call_seconds=0.05)
    account.secrets.writes_per_second = AWS_WRITES_PER_SECOND
    for number in range(SECRETS):
        account.secrets.add_secret(HOME, f"secret/{number:04}", tags={"replicate-to": "eu-west-1"})
    account.secrets.add_secret(HOME, "rotated")
    account.queues.send('{"sweep": {}}')
    rotated: list[float] = []

    def rotation() -> None:
        while account.queues.messages:
            account.time.sleep(1 / ROTATIONS_PER_SECOND)
            account.secrets.handle("PutSecretValue", HOME, {"SecretId": "rotated", "SecretString": "new"})
            rotated.append(account.time())

    account.time.run(*[account.instance] * INSTANCES, rotation)
    writes = [call.time for call in account.secrets.calls_of("ReplicateSecretToRegions")]
    assert len(writes) == SECRETS
    assert {call.error for call in account.secrets.calls} == {None}, "somebody was throttled"
    assert not account.queues.dead_letters
    in_a_second = zip(writes, writes[WRITES_PER_SECOND:], strict=False)
    assert all(after - before > 1 for before, after in in_a_second), "more writes in a second than the budget"
    used = SECRETS / (writes[-1] - writes[0]) / WRITES_PER_SECOND
    assert used >= 0.9, f"{used:.0%} of the budget used"
    assert len(rotated) > 90 * ROTATIONS_PER_SECOND
