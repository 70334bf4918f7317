"""How Lambda counts the invocations of one chain of requests: by `Lineage` in the trace header.

The runtime puts the header into the function's environment, botocore sends it on, and SQS keeps it with the
message: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html. Its form is only seen.
"""

import re
import secrets
import time
import zlib
from collections.abc import Iterable

MAX_INVOCATIONS = 16
"""So many invocations of a chain are run, "approximately"."""


def next_header(function_arn: str, received: Iterable[str]) -> str:
    """Return the header of an invocation by messages with these headers, each of which may be empty."""
    before = max((invocations(function_arn, header) for header in received), default=0)
    root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return f"Root={root};Parent={secrets.token_hex(8)};Sampled=0;{_lineage(function_arn)}{before}"


def invocations(function_arn: str, header: str) -> int:
    """Return how often the function was invoked in the header's chain, its own invocation included."""
    found = re.search(rf"\b{_lineage(function_arn)}(\d+)", header)
    return int(found[1]) + 1 if found else 0


def _lineage(function_arn: str) -> str:
    return f"Lineage=1:{zlib.crc32(function_arn.encode()):08x}:"
