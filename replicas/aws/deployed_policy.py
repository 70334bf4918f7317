"""The policy that a function carries: `policy.toml` in the code that Lambda shows."""

import io
import os
import ssl
import urllib.parse
import urllib.request
import zipfile
from typing import TYPE_CHECKING

from replicas.aws.errors import AWS_ERRORS

if TYPE_CHECKING:
    from replicas.aws.connection import Connection

PACKAGED = "/var/task/policy.toml"
"""Where the function reads it, unless POLICY_FILE says otherwise."""

UNREADABLE = (OSError, KeyError, ValueError, zipfile.BadZipFile)
"""What keeps a policy from being had, beside AWS's own errors."""

_DOWNLOAD_SECONDS = 30
_LOCAL_CODE = "/_ministack/lambda-code/"
_read: dict[str, bytes] = {}


def deployed_policy(connection: "Connection", function: str) -> bytes:
    """Return policy.toml out of the function's code; raise one of UNREADABLE, or as boto3 does.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html
    """
    answer = connection.functions.get_function(FunctionName=function)
    found = answer["Configuration"]
    key = found.get("FunctionArn", function) + found.get("CodeSha256", "")
    if key not in _read:
        endpoint_url = connection.functions.meta.endpoint_url
        location = _reachable(answer["Code"].get("Location", ""), endpoint_url)
        _read[key] = _policy_in(location, endpoint_url, connection.ca_bundle)
    return _read[key]


def policy_if_allowed(connection: "Connection", function: str) -> bytes | None:
    """Return policy.toml out of the function's code, None if it cannot be had."""
    try:
        return deployed_policy(connection, function)
    except (*UNREADABLE, *AWS_ERRORS):
        return None


def _reachable(location: str, endpoint_url: str) -> str:
    """Return the address of the code. MiniStack's leaves out that it is reached over TLS."""
    parts = urllib.parse.urlsplit(location)
    if parts.path.startswith(_LOCAL_CODE):
        endpoint = urllib.parse.urlsplit(endpoint_url)
        parts = parts._replace(scheme=endpoint.scheme, netloc=endpoint.netloc)
    return parts.geturl()


def _policy_in(location: str, endpoint_url: str, ca_bundle: str | None) -> bytes:
    """Return policy.toml out of the code at this presigned address."""
    if not location.startswith(("https://", f"{endpoint_url}/")):
        raise ValueError(location)
    context = ssl.create_default_context(cafile=ca_bundle or os.environ.get("AWS_CA_BUNDLE"))
    with urllib.request.urlopen(location, timeout=_DOWNLOAD_SECONDS, context=context) as answer:  # noqa: S310
        archive = zipfile.ZipFile(io.BytesIO(answer.read()))
    return archive.read("policy.toml")
