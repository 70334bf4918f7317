"""What AWS refuses is said in one sentence: what is wrong, and what to do."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

from replicas.aws.connection import connect, default_stack
from replicas.aws.errors import format_error
from replicas.errors import OperatorError
from replicas.options import Access


def refused(code: str, operation: str) -> ClientError:
    answer = {
        "Error": {"Code": code, "Message": "Because\n  of this."},
        "ResponseMetadata": {"Service": "sqs"},
    }
    return ClientError(answer, operation)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            refused("AccessDenied", "DeleteMessageBatch"),
            "Permission sqs:DeleteMessage is missing: allow it for the role or user that runs this "
            "(Because of this)",
            id="a missing permission, by the name it has in IAM",
        ),
        pytest.param(
            refused("ExpiredToken", "ReceiveMessage"),
            "AWS does not take these credentials (ExpiredToken: Because of this): sign in again, name "
            "another --profile, or enable the Region",
            id="credentials that have expired",
        ),
        pytest.param(
            refused("InvalidSignatureException", "ListSecrets"),
            "AWS does not take these credentials (InvalidSignatureException: Because of this): sign in "
            "again, name another --profile, or enable the Region",
            id="a wrong key, or a wrong clock",
        ),
        pytest.param(
            refused("RequestThrottled", "SendMessage"),
            "sqs:SendMessage failed (RequestThrottled: Because of this): run it again when this is fixed",
            id="anything else",
        ),
        pytest.param(
            NoCredentialsError(),
            "Unable to locate credentials: sign in with `aws sso login` or `aws configure`, or name a "
            "profile with --profile",
            id="no credentials",
        ),
        pytest.param(
            NoRegionError(),
            "You must specify a region: name the stack's Region with --region",
            id="no Region",
        ),
        pytest.param(
            EndpointConnectionError(endpoint_url="https://sqs.eu-wst-1.amazonaws.com/"),
            'Could not connect to the endpoint URL: "https://sqs.eu-wst-1.amazonaws.com/": is it the right '
            "--region or --endpoint-url, and is the network up?",
            id="nobody there",
        ),
    ],
)
def test_an_error_of_aws_becomes_a_sentence(error: Exception, said: str) -> None:
    assert format_error(error) == said


def test_the_stack_is_the_one_that_sam_deploy_makes() -> None:
    assert default_stack() == "secret-replicator"


def test_the_stack_name_of_a_guided_deployment_comes_first(tmp_path: Path) -> None:
    config = tmp_path / "samconfig.toml"
    config.write_text(
        '[default.global.parameters]\nstack_name = "a"\n[default.deploy.parameters]\nstack_name = "b"\n'
    )
    assert default_stack(config) == "b"


@pytest.mark.parametrize(
    "text",
    ["", "[default.build]", "not TOML", None, "default = 1", "[default]\ndeploy = 1"],
)
def test_without_a_stack_name_the_option_is_asked_for(tmp_path: Path, text: str | None) -> None:
    config = tmp_path / "samconfig.toml"
    if text is not None:
        config.write_text(text)
    with pytest.raises(OperatorError, match="--stack"):
        default_stack(config)


def test_a_typo_in_a_region_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_MAX_ATTEMPTS", raising=False)
    config: Any = connect(Access(region="us-esat-1")).config
    assert config.retries["total_max_attempts"] == 2


@pytest.mark.parametrize(
    ("environment", "profile", "attempts"),
    [
        pytest.param("", "", 10, id="patiently where nobody says anything"),
        pytest.param("3", "", 3, id="as the environment says"),
        pytest.param("", "max_attempts = 2", 2, id="as the profile says"),
        pytest.param("0", "", 1, id="at least once"),
    ],
)
def test_a_call_is_tried_as_often_as_the_aws_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str, profile: str, attempts: int
) -> None:
    (tmp_path / "config").write_text(f"[profile mine]\nregion = eu-west-1\n{profile}\n", "utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_MAX_ATTEMPTS", raising=False)
    if environment:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", environment)
    config: Any = connect(Access(profile="mine")).config
    assert config.retries["total_max_attempts"] == attempts


def test_a_number_of_attempts_that_is_none_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "often")
    with pytest.raises(OperatorError, match="AWS_MAX_ATTEMPTS, or max_attempts in a profile, is no number"):
        connect(Access(region="eu-west-1"))
