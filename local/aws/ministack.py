"""The local AWS: MiniStack on 127.0.0.1, over TLS, with IAM and CloudTrail's records switched on."""

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import trustme
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.errors import LocalError
from local.process import processes
from local.process.environment import HOME_REGION, LOCAL_POLICY, ROOT, harmless
from replicas import interrupts
from replicas.aws.connection import Connection
from replicas.aws.local_endpoint import KEY, local_session

WORLDS = "SECRETS_MANAGER_WORLDS"
"""The variable with the switches of the strict Secrets Manager: `repeat=refused seconds_in_progress=3`."""

SWITCHED_OFF = "switched-off"
"""A file beside its state: the Regions that answer nothing at the moment."""

ADDRESS = "127.0.0.1"
ACCOUNT = "123456789012"
"""The account of every file in events/."""


@dataclass(frozen=True)
class LocalAws:
    port: int
    folder: Path
    key: str = KEY
    """The access key, which is the account's number where it is not the first account."""

    @property
    def endpoint(self) -> str:
        """Where every service of it is."""
        return f"https://{ADDRESS}:{self.port}"

    @property
    def ca_bundle(self) -> Path:
        """The authority that its certificate is from."""
        return self.folder / "ca.pem"

    def switch_off(self, region: str) -> None:
        """Let nothing in a Region answer but IAM and STS, and nothing pass between it and others."""
        self._switch(read_switched_off(self.folder) | {region})

    def switch_on(self, region: str) -> None:
        self._switch(read_switched_off(self.folder) - {region})

    def _switch(self, regions: set[str]) -> None:
        beside = self.folder / f"{SWITCHED_OFF}.new"
        beside.write_text(" ".join(sorted(regions)), "utf-8")
        beside.replace(self.folder / SWITCHED_OFF)

    @property
    def exports(self) -> dict[str, str]:
        """Return the variables that lead AWS tools and SDKs here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": str(self.ca_bundle),
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_DEFAULT_REGION": HOME_REGION,
        }

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a tool that is to work here and nowhere else."""
        return harmless(os.environ, self.folder) | self.exports


def read_switched_off(folder: Path) -> set[str]:
    file = folder / SWITCHED_OFF
    return set(file.read_text("utf-8").split()) if file.exists() else set()


@cache
def clients(aws: LocalAws, region: str = HOME_REGION) -> Connection:
    config = Config(connect_timeout=20, read_timeout=20, retries={"mode": "standard"}, proxies={})
    return Connection(local_session(region, aws.key), aws.endpoint, str(aws.ca_bundle), config)


@contextmanager
def local_aws(
    port: int = 0, environment: Mapping[str, str] | None = None, worlds: str | None = ""
) -> Iterator[LocalAws]:
    """Run a local AWS on this port (0: a free one) until the end of the block.

    `environment` is what its functions find in theirs besides what they always find, `worlds` the switches
    of its Secrets Manager. None leaves MiniStack's own, which is only good to be compared with.
    Nothing of it stays behind. Raise LocalError if the port is taken or it does not come up.
    """
    with ExitStack() as stack:
        # Before the server is begun, so that it cannot be lost to somebody else in between.
        advice = f"for example `make local PORT={free_port()}`, or none to get a free one"
        listener = stack.enter_context(bound(ADDRESS, port, f": name another one, {advice}"))
        listener.listen()
        aws = LocalAws(listener.getsockname()[1], stack.enter_context(_folder()))
        _certify(aws)
        log = aws.folder / "ministack.log"
        stack.enter_context(
            processes.running(
                _command(aws, listener, own=worlds is None),
                _environment(aws) | {WORLDS: worlds or "", **(environment or {})},
                aws.folder,
                log,
                [listener.fileno()],
            )
        )
        # The server has it now. Were it still open here, nobody would notice the server's end.
        listener.close()
        _wait_until_up(aws, log)
        try:
            yield aws
        finally:
            interrupts.end()


def bound(address: str, port: int, advice: str) -> socket.socket:
    """Return the socket that has this port; raise LocalError with the advice if somebody else has it."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        raise LocalError(f"Port {port} of {address} cannot be used ({error.strerror}){advice}") from error
    return listener


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind((ADDRESS, 0))
        return int(trial.getsockname()[1])


@contextmanager
def _folder() -> Iterator[Path]:
    """Make the one folder that everything temporary goes to, and remove it at the end of the block."""
    with ExitStack() as stack:
        with interrupts.shielded():
            folder = Path(tempfile.mkdtemp(prefix="secret-replicator-"))
            stack.callback(_remove, folder)
        yield folder


def _remove(folder: Path) -> None:
    with interrupts.shielded():
        shutil.rmtree(folder)


def _certify(aws: LocalAws) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert(ADDRESS, "localhost")
    authority.cert_pem.write_to_path(str(aws.ca_bundle))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(aws.folder / "server.pem"))


def _command(aws: LocalAws, listener: socket.socket, *, own: bool) -> list[str]:
    # MiniStack's own command would also open port 443. Its server is hypercorn; this is the same server.
    part = "aws" if own else "secrets_manager"
    certificate = str(aws.folder / "server.pem")
    return [
        *(sys.executable, "-X", f"pycache_prefix={Path(sys.prefix) / 'pycache'}", "-m", "hypercorn"),
        *(f"local.{part}.in_ministack:app", "--workers", "0"),
        *("--bind", f"fd://{listener.fileno()}", "--keep-alive", "75"),
        *("--certfile", certificate, "--keyfile", certificate),
    ]


def _environment(aws: LocalAws) -> dict[str, str]:
    """Return what MiniStack sees, and with it every function: nothing of the environment of ours."""
    certificate = str(aws.folder / "server.pem")
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(aws.folder),
        "TMPDIR": str(aws.folder),
        "GATEWAY_PORT": str(aws.port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "AUTH": "true",
        "CLOUDTRAIL_RECORDING": "1",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": certificate,
        "MINISTACK_SSL_KEY": certificate,
        "STATE_DIR": str(aws.folder),
        "S3_DATA_DIR": str(aws.folder),
        "DOCKER_HOST": f"unix://{aws.folder}/no-docker",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_CA_BUNDLE": str(aws.ca_bundle),
        "AWS_EC2_METADATA_DISABLED": "true",
        "POLICY_FILE": str(LOCAL_POLICY),
    }


def _wait_until_up(aws: LocalAws, log: Path) -> None:
    try:
        clients(aws).sts.get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise LocalError(
            f"The local AWS (MiniStack) did not come up. Its last lines:\n{processes.last_lines(log)}"
        ) from error
