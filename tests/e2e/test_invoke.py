"""`make invoke` on every file of events/: it ends as docs/how-to/run-without-deploying.md says."""

import io
from typing import Any

import pytest
from rich.console import Console

from local.function import invoke

pytestmark = pytest.mark.slow

REFUSED = {
    "create-secret-denied",
    "delete-secret",
    "get-secret-value",
    "own-converged",
    "own-failed",
    "put-secret-value",
    "remove-regions-from-replication",
    "replicate-secret-to-regions",
}
"""What the deployed rules do not send on."""


def test_every_file_of_events_is_answered_or_refused(
    event_files: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    console = Console(file=io.StringIO())
    with invoke.emulated_function(console) as (_aws, emulator):
        said = {name: invoke._answer_text(emulator.invoke(event)) for name, event in event_files.items()}
    ends = {name: text.partition(":")[0] for name, text in said.items()}
    assert ends == {name: "Refused, as it should be" if name in REFUSED else "Answer" for name in event_files}
