"""What AWS calls throttling: botocore's own list, which its retries go by.

https://docs.aws.amazon.com/boto3/latest/guide/retries.html#standard-retry-mode
"""

from botocore.retries.standard import RetryContext, ThrottledRetryableChecker


def is_throttling(code: str) -> bool:
    """Tell whether an error code says that calls came too fast."""
    context = RetryContext(attempt_number=1, parsed_response={"Error": {"Code": code}})
    return ThrottledRetryableChecker().is_retryable(context)
