"""What AWS refuses, as one sentence with what to do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from replicas.errors import DeniedError, OperatorError

if TYPE_CHECKING:
    from botocore.hooks import BaseEventHooks
    from botocore.model import OperationModel

AWS_ERRORS = (ClientError, BotoCoreError, ResponseParserError)
_PREFIXES = {"monitoring": "cloudwatch"}
"""Where a service's name in IAM actions is not the one that its requests are signed with."""

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "KmsAccessDenied", "KMS.AccessDeniedException"})
_NOT_SIGNED_IN = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_SIGN_IN = "sign in with `aws sso login` or `aws configure`, or name a profile with --profile"
_REMEDIES: Mapping[type[BotoCoreError], str] = {
    NoCredentialsError: _SIGN_IN,
    PartialCredentialsError: _SIGN_IN,
    SSOError: _SIGN_IN,
    TokenRetrievalError: _SIGN_IN,
    CredentialRetrievalError: _SIGN_IN,
    ProfileNotFound: "`aws configure list-profiles` shows those that there are",
    NoRegionError: "name the stack's Region with --region",
    SSLError: "is AWS_CA_BUNDLE the right one for this endpoint?",
    EndpointConnectionError: "is it the right --region or --endpoint-url, and is the network up?",
}


def name_services(events: "BaseEventHooks") -> None:
    """Let each error of clients that are made from now on say which service it is from."""
    events.register("after-call", _name_service)


@contextmanager
def as_operator_errors() -> Iterator[None]:
    """Turn what AWS refuses in this block into OperatorError, where one error must not end the command."""
    try:
        yield
    except AWS_ERRORS as error:
        denied = isinstance(error, ClientError) and error.response["Error"].get("Code") in DENIED
        raise (DeniedError if denied else OperatorError)(format_error(error)) from error


def format_error(error: Exception) -> str:
    """Return what AWS, or the way to it, refused, and what to do."""
    if isinstance(error, ClientError):
        return _refusal(error)
    if isinstance(error, ResponseParserError):
        return "What answered is not AWS: is it the right --endpoint-url?"
    remedy = next((text for kind, text in _REMEDIES.items() if isinstance(error, kind)), "")
    said = " ".join(str(error).split()).rstrip(".: ")
    return f"{said}: {remedy}" if remedy else said


def action_of(error: ClientError) -> str:
    """Return the IAM action that was refused. There are none of batches: DeleteMessage allows both."""
    service = error.response["ResponseMetadata"].get("Service", "aws")
    return f"{service}:{error.operation_name.removesuffix('Batch')}"


def _name_service(parsed: dict[str, Any], model: "OperationModel", **_: object) -> None:
    name = model.service_model.signing_name
    parsed.setdefault("ResponseMetadata", {})["Service"] = _PREFIXES.get(name, name)


def _refusal(error: ClientError) -> str:
    code = error.response["Error"].get("Code", "")
    said = " ".join(error.response["Error"].get("Message", "").split()).rstrip(".")
    action = action_of(error)
    if code in DENIED:
        return f"Permission {action} is missing: allow it for the role or user that runs this ({said})"
    if code in _NOT_SIGNED_IN:
        return (
            f"AWS does not take these credentials ({code}: {said}): sign in again, name another --profile, "
            "or enable the Region"
        )
    return f"{action} failed ({code}: {said}): run it again when this is fixed"
