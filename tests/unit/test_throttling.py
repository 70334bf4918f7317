"""What AWS calls throttling has a dozen names."""

import pytest

from secret_replicator.throttling import is_throttling


@pytest.mark.parametrize(
    "code",
    [
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "RequestThrottledException",
        "RequestThrottled",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "SlowDown",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
        "TransactionInProgressException",
    ],
)
def test_all_that_botocore_waits_out_is_throttling(code: str) -> None:
    assert is_throttling(code)


@pytest.mark.parametrize("code", ["", "AccessDeniedException", "InternalServiceError"])
def test_nothing_else_is(code: str) -> None:
    assert not is_throttling(code)
