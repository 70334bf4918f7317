"""Which image `sam local` gets: a stand-in stays only where AWS's own cannot be pulled."""

import os
from pathlib import Path

import pytest

from tests.e2e import base_image

pytestmark = pytest.mark.slow

AWS, OURS = '["sha256:aws"]', '["sha256:ours"]'
ENGINE = """#!/bin/sh
# Docker with its images as files of layers; what a registry has is in the folder "registry".
cd "$(dirname "$0")"
for last; do :; done
name="${last##*:}"
case "$1 $*" in
  "image "*Labels*) grep -q ours "$name" && echo yes ;;
  "image "*) cat "$name" ;;
  "pull "*) echo asked >> pulls; cp "registry/$name" "$name" ;;
  "rmi "*) rm "$name" ;;
esac
"""
IMAGE, WITH_EMULATOR = (image.rpartition(":")[2] for image in (base_image.IMAGE, base_image.WITH_EMULATOR))


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "registry").mkdir()
    (tmp_path / "docker").write_text(ENGINE)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_the_official_image_is_not_asked_for_again(engine: Path) -> None:
    (engine / IMAGE).write_text(AWS)
    base_image.ensure()
    assert not (engine / "pulls").exists()


def test_a_stand_in_gives_way_to_the_official_image(engine: Path) -> None:
    (engine / IMAGE).write_text(OURS)
    (engine / WITH_EMULATOR).write_text('["sha256:ours", "sha256:emulator"]')
    (engine / "registry" / IMAGE).write_text(AWS)
    base_image.ensure()
    assert (engine / IMAGE).read_text() == AWS
    assert not (engine / WITH_EMULATOR).exists(), "sam would run in the stand-in for ever"


def test_a_stand_in_stays_where_nothing_can_be_pulled(engine: Path) -> None:
    (engine / IMAGE).write_text(OURS)
    (engine / WITH_EMULATOR).write_text('["sha256:ours", "sha256:emulator"]')
    base_image.ensure()
    assert (engine / "pulls").exists()
    assert (engine / IMAGE).read_text() == OURS
    assert (engine / WITH_EMULATOR).exists()


def test_without_any_image_the_official_one_is_pulled(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (engine / "registry" / IMAGE).write_text(AWS)
    monkeypatch.setattr(base_image, "_build", lambda _root: pytest.fail("a stand-in was built"))
    base_image.ensure()
    assert (engine / IMAGE).read_text() == AWS


def test_an_engine_that_hangs_is_none(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (engine / "docker").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(base_image, "ANSWER_SECONDS", 1)
    assert not base_image.engine_answers()


def test_a_registry_that_hangs_is_none(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (engine / "docker").write_text(ENGINE.replace("echo asked", "exec sleep 60"))
    built: list[Path] = []
    monkeypatch.setattr(base_image, "PULL_SECONDS", 1)
    monkeypatch.setattr(base_image, "_build", built.append)
    base_image.ensure()
    assert built
