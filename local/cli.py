"""`python -m local demo`, `drill`, `up` and `invoke`: from arguments to an exit code."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from local import up
from local.console import ended, make_console
from local.demo import play
from local.drill import play as drill
from local.function import invoke
from local.secrets_manager.worlds import read_worlds

MAX_PORT = 65_535


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit code."""
    asked, console = _parser().parse_args(arguments), make_console()
    return ended(console, lambda: _run(console, asked))


def _run(console: Console, asked: argparse.Namespace) -> int:
    match asked.command:
        case "demo":
            return play.run(console)
        case "drill":
            return drill.run(console, asked.worlds)
        case "invoke":
            return invoke.run(console, asked.event)
        case _:
            return up.run(console, asked.port, asked.worlds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="The whole system on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="play a day in the life of some secrets, check it, and clean up")
    drilling = commands.add_parser(
        "drill", help="fail over and come back on the strict Secrets Manager, and check it"
    )
    staying = commands.add_parser("up", help="keep the stack up until Ctrl-C")
    staying.add_argument(
        "--port", type=_port, default=0, help="port of the local AWS (a free one by default)"
    )
    for command in (drilling, staying):
        command.add_argument(
            "--worlds",
            type=_worlds,
            default="",
            help="switches of the strict Secrets Manager, as 'repeat=refused old_primary_shows=stale'",
        )
    invoking = commands.add_parser("invoke", help="run what `make build` made in Lambda's runtime emulator")
    invoking.add_argument("event", type=Path, help="a JSON file, for example one of events/")
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to {MAX_PORT}, not {text!r}")
    return int(text)


def _worlds(text: str) -> str:
    try:
        read_worlds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
