"""What our processes may see of this machine: nothing that leads to a real AWS account."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from local.errors import LocalError

ROOT = Path(__file__).parents[2]
HOME_REGION = "us-east-1"
LOCAL_POLICY = ROOT / "local" / "policy.toml"
SAM_FOLDER = ROOT / "tools" / "sam"
"""Where `sam build` is run: there its uv finds the settings that are for it alone."""

TOOLS = Path(sys.prefix) / "bin"

_AWS_TOOLS = ("AWS_", "SAM_", "__SAM_", "BOTO_", "MINISTACK_", "LOCALSTACK_")
_NO_PROXY = "127.0.0.1,localhost"


def harmless(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment without a trace of a real account; what tools keep goes to `folder`.

    Proxies, package indexes and certificates stay as they are: `sam build` fetches packages with them. What
    Python compiles is kept in the virtual environment, and not beside the sources.
    """
    dropped = (*_AWS_TOOLS, "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in environment.items() if not name.startswith(dropped)}
    return kept | {
        "PATH": os.pathsep.join([str(TOOLS), environment.get("PATH", os.defpath)]),
        "NO_PROXY": ",".join(filter(None, [environment.get("NO_PROXY"), _NO_PROXY])),
        "no_proxy": ",".join(filter(None, [environment.get("no_proxy"), _NO_PROXY])),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(folder),
        "PYTHONPYCACHEPREFIX": str(Path(sys.prefix) / "pycache"),
    }


def tool(name: str) -> str:
    """Return the path of a tool of this virtual environment; raise LocalError if it is not there."""
    path = TOOLS / name
    if not os.access(path, os.X_OK):
        raise LocalError(f"{name} is missing in {TOOLS}: run `make setup`")
    return str(path)
