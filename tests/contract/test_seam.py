"""The seams between MiniStack and what replaces parts of it: what of its inside is replaced or read."""

import re
from importlib import import_module
from importlib.metadata import version
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pytest

from local.aws.lineage import MAX_INVOCATIONS

ROOT = Path(__file__).parents[2]
SECRETS, LOOPS = "local/secrets_manager/in_ministack.py", "local/aws/in_ministack.py"
EVENTS, QUEUES = "local/aws/events_in_ministack.py", "local/aws/queues_in_ministack.py"
NEEDED = [
    (SECRETS, "services.secretsmanager.handle_request", "method path headers body query_params"),
    (SECRETS, "services.secretsmanager._resolve", "secret_id use_arn_scope"),
    (SECRETS, "services.secretsmanager.secret_policy_for_arn", "resource_arn"),
    (SECRETS, "services.secretsmanager._emit_secret_label_updated", "secret label version_id"),
    (
        *(SECRETS, "services.cloudtrail.record_event"),
        "service event_name username access_key_id resources region request_id user_agent request_params method",  # noqa: E501
    ),
    (SECRETS, "services.cloudtrail._get_event_queue", ""),
    (SECRETS, "core.iam_actions.request_tag_context", "service iam_action body params"),
    (SECRETS, "core.responses.get_account_id", ""),
    (SECRETS, "core.responses.get_region", ""),
    (LOOPS, "app.app", "scope receive send"),
    (LOOPS, "services.sqs.handle_request", "method path headers body query_params"),
    (LOOPS, "services.sqs._build_send_sys_attrs", "now sys_attrs_input"),
    (LOOPS, "services.lambda_svc._execute_function", "func event"),
    (LOOPS, "services.lambda_svc._xray_trace_id_for_invocation", "config inbound_trace_header"),
    (LOOPS, "services.lambda_svc._recursive_loop_drop", "name func depth"),
    (EVENTS, "services.eventbridge._invoke_target", "target event rule view"),
    (EVENTS, "services.eventbridge._dispatch_to_sqs", "spec payload sqs_parameters"),
    (EVENTS, "services.sqs._queue_by_arn", "arn"),
    (EVENTS, "services.sqs.queue_policy_allows", "queue_arn service source_arn source_account"),
    (EVENTS, "services.cloudwatch.record_metric", "namespace metric_name value unit dimensions"),
    (QUEUES, "services.sqs._act_send_message", "data qurl"),
    (QUEUES, "services.sqs._get_q", "url action"),
    (QUEUES, "services.sqs._Err", "code message status"),
    (EVENTS, "core.iam_evaluator.evaluate_resource_policy", "doc ctx service named_only direct_only"),
]
READ = ["services.kms._keys", "services.kms._aliases"]


def part(name: str, module: str) -> Any:
    """Return a part of MiniStack; fail with a sentence if it is not there."""
    where, _dot, attribute = name.rpartition(".")
    found = getattr(import_module(f"ministack.{where}"), attribute, None)
    assert found is not None, f"ministack.{name} is gone: {module} needs it"
    return found


@pytest.mark.parametrize(("module", "name", "takes"), NEEDED)
def test_what_is_replaced_or_called_takes_what_it_took(module: str, name: str, takes: str) -> None:
    found = signature(part(name, module)).parameters.values()
    taken = " ".join(each.name for each in found if each.kind is not Parameter.VAR_KEYWORD)
    assert taken == takes, f"ministack.{name} now takes {taken}, not {takes}: adapt {module}"


@pytest.mark.parametrize("name", READ)
def test_keys_are_read_by_account_and_region(name: str) -> None:
    assert hasattr(part(name, EVENTS), "get_scoped"), (
        f"ministack.{name} is not kept by account and Region any more: adapt find_key in {EVENTS}"
    )


@pytest.mark.parametrize(
    ("module", "where", "reading"),
    [
        pytest.param(
            SECRETS, "core/iam_actions.py", "secretsmanager_svc._resolve(secret_id)", id="resources"
        ),
        pytest.param(SECRETS, "app.py", "await mod.handle_request(", id="requests"),
        pytest.param(SECRETS, "app.py", "**request_tag_context(service, iam_action, body,", id="conditions"),
        pytest.param(SECRETS, "app.py", "ct_mod.record_event(", id="records of calls"),
        pytest.param(*(SECRETS, "services/cloudtrail.py", "event_queue = _get_event_queue()"), id="records"),
        pytest.param(
            *(SECRETS, "core/iam_evaluator.py", '("secretsmanager", "secret_policy_for_arn")'), id="policies"
        ),
        pytest.param(LOOPS, "services/sqs.py", '"sys": _build_send_sys_attrs(now, sys_attrs)', id="headers"),
        pytest.param(
            *(LOOPS, "services/lambda_svc.py", "result = _execute_function(func_rec, event)"), id="batches"
        ),
        pytest.param(
            *(LOOPS, "services/lambda_svc.py", "trace_id=_xray_trace_id_for_invocation(config)"), id="traces"
        ),
        pytest.param(QUEUES, "services/sqs.py", "fn = _HANDLERS.get(action)", id="messages"),
        pytest.param(QUEUES, "services/sqs.py", "r = _act_send_message(sub, url)", id="batches of messages"),
        pytest.param(
            *(EVENTS, "services/eventbridge.py", "_invoke_target(target, event, rule, view)"), id="events"
        ),
        pytest.param(
            *(EVENTS, "services/eventbridge.py", "_dispatch_to_sqs(spec, event_payload, target"), id="queues"
        ),
    ],
)
def test_what_is_replaced_is_looked_up_at_each_request(module: str, where: str, reading: str) -> None:
    text = (Path(str(import_module("ministack").__file__)).parent / where).read_text("utf-8")
    assert reading in text, (
        f"ministack/{where} does not say {reading!r} any more: is what {module} replaces still asked?"
    )


def test_ministack_stops_a_chain_where_lineage_says() -> None:
    assert part("services.lambda_svc.MAX_INVOKE_DEPTH", LOOPS) == MAX_INVOCATIONS


def test_the_version_is_pinned_and_installed() -> None:
    pins = {
        name: re.search(r"ministack==([\d.]+)", (ROOT / name).read_text("utf-8"))
        for name in ("pyproject.toml", "requirements.txt")
    }
    pinned = {name: pin[1] if pin else "not pinned" for name, pin in pins.items()}
    assert set(pinned.values()) == {version("ministack")}, (
        f"MiniStack {version('ministack')} is installed and {pinned} pinned: the seam is tried with one only"
    )
