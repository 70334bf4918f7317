"""AWS's base image for the function; where it cannot be pulled, a stand-in of the same name and layout.

The stand-in is Debian's own Python 3.13 (debootstrap), awslambdaric and boto3 in /var/runtime, and the
bootstrap that the Runtime Interface Emulator looks for. `sam` adds the emulator, as it does to AWS's image:
https://docs.aws.amazon.com/lambda/latest/dg/python-image.html
"""

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from local.process.environment import tool

ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
IMAGE = f"public.ecr.aws/lambda/python:3.13-{ARCHITECTURE}"
WITH_EMULATOR = f"public.ecr.aws/lambda/python:3.13-rapid-{ARCHITECTURE}"
"""What sam makes of the image. It keeps that even where the image has changed."""

STAND_IN = "secret-replicator.stand-in"
"""The label by which a stand-in is known."""

DEBIAN = "trixie"  # it has Python 3.13
APT_SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))
RUNTIME = ("awslambdaric", "boto3", "simplejson", "snapshot-restore-py")
BOOTSTRAP = """#!/bin/sh
export PYTHONPATH=/var/task:/opt/python:/var/runtime
exec /usr/bin/python3 -m awslambdaric "$_HANDLER"
"""
LAYOUT = ("WORKDIR /var/task", "ENV LAMBDA_TASK_ROOT=/var/task LANG=C.UTF-8", f"LABEL {STAND_IN}=yes")
PIP_PLATFORM = {"x86_64": "x86_64-manylinux2014", "arm64": "aarch64-manylinux2014"}[ARCHITECTURE]

ANSWER_SECONDS, PULL_SECONDS = 20, 300
"""What hangs longer is as good as not there: it would hold up everything."""


def engine_answers() -> bool:
    return bool(shutil.which("docker")) and _try("docker", "info", seconds=ANSWER_SECONDS)


def is_stand_in() -> bool:
    template = f'{{{{ index .Config.Labels "{STAND_IN}" }}}}'
    asked = ["docker", "image", "inspect", "--format", template, IMAGE]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == "yes"


def ensure() -> None:
    """Have the image: AWS's where it is there or can be pulled, else a stand-in, which is kept until then."""
    layers = _layers(IMAGE)
    pull = ("docker", "pull", "--quiet", IMAGE)
    if (not layers or is_stand_in()) and not _try(*pull, seconds=PULL_SECONDS) and not layers:
        with TemporaryDirectory() as folder:
            _build(Path(folder) / "root")
    layers = _layers(IMAGE)
    if _layers(WITH_EMULATOR)[: len(layers)] not in ([], layers):
        _run(["docker", "rmi", "--force", WITH_EMULATOR])


def _layers(image: str) -> list[str]:
    """Return the digests of the image's layers; none where there is no such image."""
    asked = ["docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", image]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    return list(json.loads(answer)) if answer.strip() else []


def _build(root: Path) -> None:
    if not shutil.which("debootstrap"):
        _run(["apt-get", "update", "-qq"])
        _run(["apt-get", "install", "-qq", "--yes", "--no-install-recommends", "debootstrap"])
    # The packages are unpacked and not set up: Python needs nothing of that.
    options = ["--variant=minbase", "--include=python3,ca-certificates", "--foreign"]
    _run(["debootstrap", *options, DEBIAN, str(root), *apt_mirror()])
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        _run(["dpkg-deb", "--extract", str(package), str(root)])
    for unused in ("var/cache/apt", "debootstrap", "usr/share/doc", "usr/share/locale", "usr/share/man"):
        shutil.rmtree(root / unused)
    for folder in ("var/runtime", "var/task", "opt"):
        (root / folder).mkdir(exist_ok=True)
    _run([*_pip(root / "var/runtime"), *(f"{name}=={version(name)}" for name in RUNTIME)])
    (root / "var/runtime/bootstrap").write_text(BOOTSTRAP)
    (root / "var/runtime/bootstrap").chmod(0o755)
    python = ["chroot", str(root), "/usr/bin/env", "-i", "PYTHONPATH=/var/runtime", "/usr/bin/python3"]
    _run([*python, "-m", "compileall", "-q", "/var/runtime"])
    _run([*python, "-c", "import awslambdaric.bootstrap, boto3"])
    archive = root.with_suffix(".tar")
    _run(["tar", "--directory", str(root), "--create", "--file", str(archive), "."])
    _run(["docker", "import", *(f"--change={change}" for change in LAYOUT), str(archive), IMAGE])


def apt_mirror(places: Sequence[Path] = APT_SOURCES) -> Sequence[str]:
    """Return the Debian mirror of this machine's own apt; none where it has none: debootstrap knows one."""
    files = [file for place in places for file in (sorted(place.iterdir()) if place.is_dir() else [place])]
    texts = [file.read_text("utf-8") for file in files if file.is_file()]
    return re.findall(r"^[^#\n]*?(https?://\S+/debian)/?(?:\s|$)", "\n".join(texts), re.MULTILINE)[:1]


def _pip(target: Path) -> Iterable[str]:
    options = ("--quiet", "--only-binary", ":all:", "--python-version", "3.13")
    return (
        tool("uv"),
        "pip",
        "install",
        *options,
        "--python-platform",
        PIP_PLATFORM,
        "--target",
        str(target),
    )


def _try(*command: str, seconds: float) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=seconds, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _run(command: Sequence[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise AssertionError(
            f"{' '.join(command)} failed, so there is no stand-in for {IMAGE}:\n{done.stdout}{done.stderr}"
        )
