"""`replicas` as a package: installed alone, outside a checkout, it works."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from replicas.aws.checkout import checkout
from replicas.aws.connection import default_stack
from replicas.cli import app
from tests.support.desk import at_desk
from tests.support.fakes.account import STACK
from tests.support.world import HOME, make_world

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(str(command.name) for command in app.registered_commands)
MAX_WHEEL_BYTES = 300_000
UV = str(Path(sys.executable).parent / "uv")

pytestmark = pytest.mark.xdist_group("wheel")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([UV, *build, "--out-dir", str(folder), str(ROOT)], check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment that has nothing but the wheel and what it asks for."""
    environment = tmp_path_factory.mktemp("installed")
    subprocess.run([UV, "venv", "--quiet", "--clear", "--python", sys.executable, environment], check=True)
    python = environment / "bin/python"
    pinned = ["--constraint", str(ROOT / "requirements.txt")]
    install = ["pip", "install", "--quiet", "--no-verify-hashes", "--python", str(python), *pinned]
    subprocess.run([UV, *install, str(wheel)], check=True, cwd=environment)
    return environment / "bin/replicas"


def run(program: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = kept | {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_EC2_METADATA_DISABLED": "true",
        "COLUMNS": "200",
    }
    return subprocess.run(
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_wheel_is_small_and_has_nothing_but_the_command_and_the_function(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as made:
        names = made.namelist()
    folders = {name.partition("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {
        "replicas",
        "secret_replicator",
    }
    assert "replicas/commands/report/report.html.j2" in names
    assert wheel.stat().st_size < MAX_WHEEL_BYTES


@pytest.mark.slow
def test_installed_alone_every_command_has_its_help(installed: Path, tmp_path: Path) -> None:
    for command in COMMANDS:
        done = run(installed, tmp_path, command, "--help")
        assert (done.returncode, done.stderr) == (0, ""), command
        assert "Exit codes" in done.stdout, command


@pytest.mark.slow
def test_installed_alone_it_plans_by_a_policy_and_writes_a_report(installed: Path, tmp_path: Path) -> None:
    with at_desk(make_world(tmp_path)) as desk:
        desk.world.add("a", "us-west-2")
        policy = ["--policy", str(desk.world.app.settings.policy_file)]
        there = ["--endpoint-url", desk.account.url, "--region", HOME, "--stack", STACK, *policy]
        plan = run(installed, tmp_path, "plan", *there)
        report = run(installed, tmp_path, "report", *there)
    assert plan.returncode == 0, plan.stderr
    assert "Plan: 1 to add in 1 Region" in plan.stdout
    assert report.returncode == 0, report.stderr
    assert (tmp_path / "replicas-report.html").is_file()


@pytest.mark.slow
def test_installed_alone_it_says_its_version(installed: Path, wheel: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"replicas {wheel.name.split('-')[1]}\n"


@pytest.mark.slow
def test_installed_alone_it_says_what_is_missing(installed: Path, tmp_path: Path) -> None:
    plan = run(installed, tmp_path, "status", "--local")
    assert (plan.returncode, plan.stdout) == (1, "")
    assert plan.stderr == "No local stack is up: start it with `make local` in another terminal\n"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions/policy.toml").touch()
    (tmp_path / "samconfig.toml").write_text('[default.global.parameters]\nstack_name = "theirs"\n')
    (tmp_path / "deep/er").mkdir(parents=True)
    return tmp_path


def test_a_checkout_is_looked_for_from_here_upwards(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(elsewhere / "deep/er")
    assert checkout() == elsewhere
    assert default_stack() == "theirs"


def test_no_file_names_the_host_of_a_package_registry() -> None:
    names = ("pypi", "python" + "hosted", "deb.debian", "registry.npmjs")
    hosts = re.compile("|".join(rf"{re.escape(name)}\.(?:org|com)\b" for name in names))
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    texts = {name: (ROOT / name).read_bytes().decode("utf-8", "replace") for name in files.stdout.split()}
    assert [name for name, text in texts.items() if hosts.search(text)] == []
