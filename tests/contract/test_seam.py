"""The seam between MiniStack and the strict Secrets Manager: what of its inside is replaced or read."""

import re
from importlib import import_module
from importlib.metadata import version
from inspect import Parameter, signature
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPLACED = {
    "services.secretsmanager.handle_request": ["method", "path", "headers", "body", "query_params"],
    "services.secretsmanager._resolve": ["secret_id", "use_arn_scope"],
    "services.secretsmanager.secret_policy_for_arn": ["resource_arn"],
    "services.secretsmanager._emit_secret_label_updated": ["secret", "label", "version_id"],
    "core.iam_actions.request_tag_context": ["service", "iam_action", "body", "params"],
    "core.responses.get_account_id": [],
    "core.responses.get_region": [],
    "app.app": ["scope", "receive", "send"],
}
READ = ["services.kms._keys", "services.kms._aliases"]


def part(name: str) -> object:
    """Return a part of MiniStack; fail with a sentence if it is not there."""
    module, _dot, attribute = name.rpartition(".")
    found = getattr(import_module(f"ministack.{module}"), attribute, None)
    assert found is not None, f"ministack.{name} is gone: local/secrets_manager/in_ministack.py needs it"
    return found


@pytest.mark.parametrize("name", REPLACED)
def test_what_is_replaced_or_called_takes_what_it_took(name: str) -> None:
    taken = signature(part(name)).parameters.values()  # type: ignore[arg-type]
    required = [each.name for each in taken if each.kind is not Parameter.VAR_KEYWORD]
    assert required == REPLACED[name], (
        f"ministack.{name} now takes {required}, not {REPLACED[name]}: adapt "
        "local/secrets_manager/in_ministack.py"
    )


@pytest.mark.parametrize("name", READ)
def test_keys_are_read_by_account_and_region(name: str) -> None:
    assert hasattr(part(name), "get_scoped"), (
        f"ministack.{name} is not kept by account and Region any more: adapt Keys in "
        "local/secrets_manager/in_ministack.py"
    )


@pytest.mark.parametrize(
    ("where", "reading"),
    [
        pytest.param("core/iam_actions.py", "secretsmanager_svc._resolve(secret_id)", id="resources"),
        pytest.param("app.py", "await mod.handle_request(", id="requests"),
        pytest.param("app.py", "**request_tag_context(service, iam_action, body,", id="condition keys"),
        pytest.param("core/iam_evaluator.py", '("secretsmanager", "secret_policy_for_arn")', id="policies"),
    ],
)
def test_what_is_replaced_is_looked_up_at_each_request(where: str, reading: str) -> None:
    text = (Path(str(import_module("ministack").__file__)).parent / where).read_text("utf-8")
    assert reading in text, (
        f"ministack/{where} does not say {reading!r} any more: see whether what "
        "local/secrets_manager/in_ministack.py replaces is still asked"
    )


def test_the_version_is_pinned_and_installed() -> None:
    pins = {
        name: re.search(r"ministack==([\d.]+)", (ROOT / name).read_text("utf-8"))
        for name in ("pyproject.toml", "requirements.txt")
    }
    pinned = {name: pin[1] if pin else "not pinned" for name, pin in pins.items()}
    assert set(pinned.values()) == {version("ministack")}, (
        f"MiniStack {version('ministack')} is installed and {pinned} pinned: the seam is tried with one only"
    )
