"""What `sam build` made: it imports and answers with nothing beside it but boto3, as in Lambda."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ARTIFACT = ROOT / ".aws-sam/build/ReplicatorFunction"
RUNTIME_PACKAGES = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
"""What the Lambda runtime brings for boto3."""

SMOKE = """
import json, sys
sys.path[1:1] = sys.argv[1:]
from secret_replicator import app
from secret_replicator.errors import MalformedMessageError
print(json.dumps([app.__file__, str(app.app.settings.policy_file)]))
"""

COLD_START = """
import gc, json, os, sys
sys.path[1:1] = sys.argv[1:]
looked_into = set()
sys.addaudithook(lambda event, facts: event == "os.listdir" and looked_into.add(str(facts[0])))
before = gc.get_stats()[1]["collections"]
from secret_replicator import app
data = os.path.join("botocore", "data")
print(json.dumps({
    "looked_into": sorted(path.rpartition(data)[2] for path in looked_into if data in path),
    "collections": gc.get_stats()[1]["collections"] - before,
    "collecting": gc.isenabled(),
    "boto3": "boto3" in sys.modules,
    "event_client": "client" in vars(app.app.notifier),
}))
"""


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder with what the Lambda runtime brings, and nothing else."""
    for name in RUNTIME_PACKAGES:
        spec = find_spec(name)
        assert spec
        assert spec.origin
        origin = Path(spec.origin)
        package = origin.parent if origin.name == "__init__.py" else origin
        (tmp_path / package.name).symlink_to(package)
    return tmp_path


def run(program: str, runtime: Path) -> Any:
    assert ARTIFACT.is_dir(), "there is no artifact: run make build"
    environment = {
        "AWS_REGION": "us-east-1",
        "ALLOWED_REGIONS": "eu-west-1",
        "QUEUE_URL": "https://queue",
        "DEAD_LETTER_QUEUE_URL": "https://dead-letters",
    }
    # -S: without site-packages. -E: without PYTHONPATH. -B: the artifact stays as it is.
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-B", "-c", program, str(ARTIFACT), str(runtime)],
        env=environment,
        cwd=runtime,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # the first line is the log of the cold start


def test_the_artifact_imports_with_nothing_else_on_the_path_but_boto3(runtime: Path) -> None:
    assert run(SMOKE, runtime) == [
        str(ARTIFACT / "secret_replicator/app.py"),
        str(ARTIFACT / "policy.toml"),
    ]


def test_a_cold_start_does_only_what_it_needs(runtime: Path) -> None:
    done = run(COLD_START, runtime)
    services = {Path(path).parts[1] for path in done["looked_into"]}
    assert services == {"secretsmanager", "sqs"}, "botocore has the folders of 400 more"
    assert not done["boto3"], "botocore is enough"
    assert done["event_client"] is False, "there is nothing to tell yet"
    assert done["collections"] == 0, "there is no garbage yet"
    assert done["collecting"], "from now on there is"


def test_the_artifact_is_what_stands_in_functions() -> None:
    ours = {path.relative_to(ROOT / "functions") for path in (ROOT / "functions").rglob("*.py")}
    ours.add(Path("policy.toml"))
    for path in ours:
        assert (ARTIFACT / path).read_bytes() == (ROOT / "functions" / path).read_bytes(), "run make build"


def test_the_artifact_packs_nothing_that_the_runtime_brings_compiled() -> None:
    assert not {path.name for path in ARTIFACT.iterdir()} & {*RUNTIME_PACKAGES}


def test_the_artifact_runs_on_any_processor() -> None:
    assert not [*ARTIFACT.rglob("*.so")], "a compiled file fits one Architecture alone"
