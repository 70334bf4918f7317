"""Docker beside the local AWS, in any state: at worst one sentence, never the end of `make local`."""

from pathlib import Path

import pytest

from local.aws import plain_http
from local.errors import LocalError

HERE = "127.0.0.1"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` that does what is written into it."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(plain_http, "_DOCKER_SECONDS", 1)
    return tmp_path / "docker"


def will(docker: Path, do: str) -> None:
    docker.write_text(f"#!/bin/sh\n{do}\n")
    docker.chmod(0o700)


@pytest.mark.parametrize(
    ("answer", "addresses"),
    [
        pytest.param(f'[{{"IPAM": {{"Config": [{{"Gateway": "{HERE}"}}]}}}}]', (HERE,), id="a gateway"),
        pytest.param('[{"IPAM": {"Config": [{"Subnet": "127.0.0.0/8"}]}}]', (HERE,), id="a subnet"),
        pytest.param('[{"Name": "bridge"}]', (), id="no IPAM"),
        pytest.param('[{"IPAM": null}]', (), id="IPAM is null"),
        pytest.param('[{"IPAM": {"Config": null}}]', (), id="no configuration"),
        pytest.param('[{"IPAM": {"Config": [{"Gateway": "192.0.2.1"}]}}]', (), id="another machine's"),
        pytest.param("[]", (), id="no network"),
    ],
)
def test_its_addresses_are_taken_from_what_it_says(
    docker: Path, answer: str, addresses: tuple[str, ...]
) -> None:
    will(docker, f"echo '{answer}'")
    assert plain_http.bridge_addresses() == addresses


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("echo nothing known", id="text"),
        pytest.param("""echo '{"IPAM": {}}'""", id="an object"),
        pytest.param("echo '[1]'", id="a number"),
        pytest.param("""echo '[{"IPAM": {"Config": [{"Subnet": "no"}]}}]'""", id="a subnet that is none"),
        pytest.param("""echo '[{"IPAM": {"Config": [{}]}}]'""", id="neither gateway nor subnet"),
    ],
)
def test_what_cannot_be_understood_is_one_sentence(docker: Path, answer: str) -> None:
    will(docker, answer)
    with pytest.raises(LocalError, match="does not say what Docker's addresses are"):
        plain_http.bridge_addresses()


def test_what_cannot_be_run_is_one_sentence(docker: Path) -> None:
    docker.write_bytes(b"\x7fELF")
    docker.chmod(0o700)
    with pytest.raises(LocalError, match="does not say what Docker's addresses are"):
        plain_http.bridge_addresses()


def test_a_daemon_that_hangs_is_one_sentence(docker: Path) -> None:
    will(docker, "exec sleep 60")
    with pytest.raises(LocalError, match="Docker does not answer within 1 s"):
        plain_http.bridge_addresses()


def test_a_daemon_that_does_not_run_has_no_addresses(docker: Path) -> None:
    will(docker, "exit 1")
    assert plain_http.bridge_addresses() == ()
