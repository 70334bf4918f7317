"""Nothing of a person's real AWS account reaches the local system."""

from pathlib import Path

from local.process.environment import harmless


def test_whatever_names_an_account_is_gone_and_whatever_fetches_packages_stays(tmp_path: Path) -> None:
    before = {
        "AWS_PROFILE": "real",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL_SQS": "https://real",
        "SAM_CONFIG_FILE": "real",
        "UV_INDEX_URL": "https://packages",
        "HTTPS_PROXY": "http://proxy",
        "NO_PROXY": "intranet",
    }
    after = harmless(before, tmp_path)
    assert "real" not in "".join(after.values())
    assert after["UV_INDEX_URL"] == "https://packages"
    assert after["HTTPS_PROXY"] == "http://proxy"
    assert after["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert after["SAM_CLI_TELEMETRY"] == "0"


def test_the_configuration_files_are_empty(tmp_path: Path) -> None:
    after = harmless({}, tmp_path)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        assert Path(after[name]).read_text() == ""
