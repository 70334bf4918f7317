"""A plain-HTTP endpoint of the local AWS, for containers: they cannot know its certificate's authority."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from local.aws.ministack import ADDRESS, LocalAws, bound
from local.errors import LocalError

PORT = 4567
"""Where the endpoint is, as local/env.json says."""

_ADVICE = ", so `sam local` cannot reach this local AWS: end what uses it, most likely another `make local`"
_CHUNK = 65_536
_DOCKER_SECONDS = 10


@contextmanager
def opened(aws: LocalAws, port: int = PORT) -> Iterator[None]:
    """Keep the endpoint open until the end of the block; raise LocalError if the port is taken.

    Docker Desktop leads `host.docker.internal` to 127.0.0.1. On Linux it is this machine's address on
    Docker's bridge, which nothing but this machine and its containers can reach.
    """
    listeners = [bound(address, port, _ADVICE) for address in (ADDRESS, *bridge_addresses())]
    endpoint = _Endpoint(aws.port, ssl.create_default_context(cafile=str(aws.ca_bundle)), Future())
    with ThreadPoolExecutor(1, "plain-http") as thread:
        work = thread.submit(asyncio.run, endpoint.serve(listeners))
        loop, closed = endpoint.opened.result()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(closed.set)
    work.result()


def bridge_addresses() -> tuple[str, ...]:
    """Return this machine's addresses on Docker's bridge: none without Docker, and on macOS."""
    engine = shutil.which("docker")
    if not engine:
        return ()
    asked = [engine, "network", "inspect", "bridge"]
    try:
        done = subprocess.run(asked, capture_output=True, timeout=_DOCKER_SECONDS, check=False)  # noqa: S603  as found on the PATH
        found = _gateways(json.loads(done.stdout)) if done.returncode == 0 else set()
    except subprocess.TimeoutExpired as error:
        raise LocalError(
            f"Docker does not answer within {_DOCKER_SECONDS} s, so `sam local` cannot reach this local AWS: "
            "see what `docker network inspect bridge` says, and start again"
        ) from error
    except (OSError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise LocalError(
            "`docker network inspect bridge` does not say what Docker's addresses are, so `sam local` cannot "
            f"reach this local AWS: {error!r}"
        ) from error
    return tuple(sorted(address for address in found if _is_here(address)))


def _gateways(networks: list[dict[str, Any]]) -> set[str]:
    """Return the address that each network calls its gateway.

    Docker names it only if somebody chose it. Else it is the first address of the subnet. A network without
    addresses of its own (a bridge of another engine) has no IPAM.
    """
    configs = [config for network in networks for config in (network.get("IPAM") or {}).get("Config") or ()]
    return {config.get("Gateway") or str(ip_network(config["Subnet"])[1]) for config in configs}


def _is_here(address: str) -> bool:
    with suppress(OSError), socket.socket() as trial:
        trial.bind((address, 0))
        return True
    return False


@dataclass(frozen=True)
class _Endpoint:
    """Carries bytes both ways, and adds nothing but TLS."""

    port: int
    trusted: ssl.SSLContext
    opened: "Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]"

    async def serve(self, listeners: Sequence[socket.socket]) -> None:
        """Serve until the event is set that `opened` gives."""
        closed = asyncio.Event()
        servers = [await asyncio.start_server(self._carry, sock=listener) for listener in listeners]
        self.opened.set_result((asyncio.get_running_loop(), closed))
        await closed.wait()
        for server in servers:
            server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, to_inside = await asyncio.open_connection(ADDRESS, self.port, ssl=self.trusted)
        with suppress(ConnectionError):  # the one side has gone: so does the other
            await asyncio.gather(_pump(reader, to_inside), _pump(inside, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()
