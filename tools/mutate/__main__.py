"""Breaks each promise of the design once, in a copy of the tree, and expects its tests to go red.

`make mutate` runs it. A promise whose mutation survives is not held by any test. Words choose among the
promises: `python -m tools.mutate the role`.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

import pytest
from rich.console import Console
from rich.text import Text

SECONDS = 600
"""No tests of one mutation take so long: a loop has no end then."""

WORKERS = 2
ROOT = Path(__file__).parents[2]
CODE = "functions/secret_replicator"
LIFE = "tests/function/test_life_of_a_message.py"
SWITCHES = "tests/function/test_operator_switches.py"
BUDGET = "tests/function/test_budget.py"
SWEEP = "tests/function/test_sweep.py"
HANDLER = "tests/function/test_handler.py"
MODEL = "tests/function/test_model.py"
PROMOTED = "tests/function/test_promoted_copies.py"
DRIFT = "tests/function/test_drift.py"
NO_LOOP = "tests/function/test_no_loop.py"
SWEEP_COMMAND = "tests/replicas/test_sweep_command.py"
POLICY = "tests/unit/test_policy.py"
MESSAGES = "tests/unit/test_messages.py"
REFUSED = "tests/function/test_refused_regions.py"
OLD_READINGS = "tests/function/test_old_readings.py"
WRITES = "tests/unit/test_writes.py"
PLANNER = "tests/unit/test_planner.py"
TEMPLATE = "tests/template"
RULES = "tests/template/test_rules.py"


@dataclass(frozen=True)
class Mutation:
    """`old`, found once in `file`, becomes `new`; then one of the `tests` must fail."""

    promise: str
    file: str
    old: str
    new: str
    tests: str


class Result(StrEnum):
    """How it ended for a mutation. Only `caught` is good."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    NOT_FOUND = "OLD TEXT NOT FOUND ONCE"
    DOES_NOT_RUN = "TESTS DO NOT RUN"
    RED_ANYWAY = "SLOW TESTS ARE RED ANYWAY"


RESULTS = {
    pytest.ExitCode.TESTS_FAILED: Result.CAUGHT,
    pytest.ExitCode.OK: Result.SURVIVED,
    pytest.ExitCode.NO_TESTS_COLLECTED: Result.SURVIVED,
}


MUTATIONS = (
    # Loud when it must be, silent otherwise.
    Mutation(
        "a retry that is accepted hides no Failed Region",
        f"{CODE}/metrics.py",
        "return still | {wanted.region for wanted in outcome.plan.retry}",
        "return still",
        "tests/function/test_batch_metrics.py",
    ),
    Mutation(
        "an event that is not taken repeats nothing",
        f"{CODE}/app.py",
        'logger.warning("events_not_sent", number=len(outcome_events), error=str(error))',
        "raise",
        "tests/function/test_outcome_events.py",
    ),
    # A function that cannot start says why.
    Mutation(
        "a wrong setting ends messages with the reason, and no crash",
        f"{CODE}/app.py",
        "except (SettingsError, PolicyError, OSError) as error:",
        "except (PolicyError, OSError) as error:",
        "tests/function/test_cold_start.py",
    ),
    Mutation(
        "Lambda counts it when the function cannot start",
        f"{CODE}/unready.py",
        "        if all(result.stays for result in results):\n            self.fail()\n",
        "",
        "tests/function/test_cold_start.py",
    ),
    # The doctor misses nothing that stops the stack.
    Mutation(
        "the doctor finds a queue's key that shuts EventBridge out",
        "replicas/commands/doctor/events.py",
        'if found.get("KeyManager") == "AWS":',
        'if found.get("KeyManager") == "":',
        "tests/replicas/test_doctor.py",
    ),
    Mutation(
        "the doctor finds that a sweep would be stopped",
        "replicas/commands/doctor/function.py",
        'if answer.get("RecursiveLoop") == "Allow":',
        'if answer.get("RecursiveLoop"):',
        "tests/replicas/test_doctor.py",
    ),
    Mutation(
        "a part that was deleted by hand is bad",
        "replicas/commands/doctor/command.py",
        "yield gone if is_gone(error) else refused(name, error)",
        "yield refused(name, error)",
        "tests/replicas/test_doctor.py",
    ),
    # The template says what the README promises a security team.
    Mutation(
        "a sweep may invoke its function more than sixteen times",
        "template.yaml",
        "      RecursiveLoop: Allow\n",
        "",
        "tests/function/test_recursion.py",
    ),
    Mutation(
        "an event that is lost raises an alarm",
        "template.yaml",
        "InvocationsFailedToBeSentToDlq\n      Dimensions: [{ Name: RuleName, Value: !Ref SweepSchedule }]",
        "FailedInvocations\n      Dimensions: [{ Name: RuleName, Value: !Ref SweepSchedule }]",
        TEMPLATE,
    ),
    Mutation(
        "a number with a fraction is refused before it is deployed",
        "template.yaml",
        '"^([3-9]|1[0-9]|20)$"',
        '"^([3-9]|1[0-9]|20)(\\\\.[0-9]+)?$"',
        TEMPLATE,
    ),
    Mutation(
        "more instances than writes are refused before they are deployed",
        "template.yaml",
        "          - !Contains [*UpTo29, !Ref MaximumConcurrency]",
        "          - !Contains [*UpTo29, !Ref WritesPerSecond]",
        TEMPLATE,
    ),
    Mutation(
        "the dashboard's address is right in China",
        "template.yaml",
        "!If [InChina, console.amazonaws.cn,",
        "!If [InGovCloud, console.amazonaws.cn,",
        TEMPLATE,
    ),
    Mutation(
        "Mode=plan cannot use a key",
        "template.yaml",
        "MayUseKmsKeys: !And [!Condition MayWrite, !Not",
        "MayUseKmsKeys: !And [!Condition MayRemove, !Not",
        TEMPLATE,
    ),
    Mutation(
        "only this account reads the queue",
        "template.yaml",
        "sqs:PurgeQueue]\n            Resource: !GetAtt DeadLetterQueue.Arn\n"
        "            Condition:\n              StringNotEquals",
        "sqs:PurgeQueue]\n            Resource: !GetAtt DeadLetterQueue.Arn\n"
        "            Condition:\n              StringEquals",
        TEMPLATE,
    ),
    # 1. A message is deleted only when its secret is converged, rightly skipped, or dead-lettered.
    Mutation(
        "1 InProgress is not success",
        f"{CODE}/reconciler.py",
        "if replica and replica.status == IN_SYNC:",
        'if replica and replica.status in (IN_SYNC, "InProgress"):',
        LIFE,
    ),
    Mutation(
        "1 a status that nobody knows is not success",
        f"{CODE}/reconciler.py",
        "if replica and replica.status == IN_SYNC:",
        'if replica and replica.status not in ("Failed", "InProgress"):',
        LIFE,
    ),
    Mutation(
        "1 what was requested is not yet there",
        f"{CODE}/reconciler.py",
        "        problem = _not_in_sync(",
        "        if replica is None and region not in refused:\n            continue\n"
        "        problem = _not_in_sync(",
        MODEL,
    ),
    Mutation(
        "1 a dead letter is sent",
        f"{CODE}/work_queue.py",
        "            self.client.send_message(\n",
        "            dict(\n",
        LIFE,
    ),
    Mutation(
        "1 a dead letter has the original body",
        f"{CODE}/work_queue.py",
        "self._send_dead_letter(message.body, attributes)",
        "self._send_dead_letter(outcome.secret, attributes)",
        LIFE,
    ),
    Mutation(
        "1 a dead letter has its reason",
        f"{CODE}/work_queue.py",
        '"ErrorMessage": error_message(outcome.secret, outcome.reason, outcome.remedy)',
        '"ErrorMessage": outcome.secret',
        LIFE,
    ),
    Mutation(
        "1 a message whose dead letter could not be written stays",
        f"{CODE}/settle.py",
        "if result.disposition is Disposition.DEAD_LETTER and not sure:",
        "if not result:",
        LIFE,
    ),
    Mutation(
        "1 only messages that are named in the answer stay",
        f"{CODE}/results.py",
        "for message_id in staying]}",
        "for message_id in staying[1:]]}",
        LIFE,
    ),
    Mutation(
        "1 a failed item does not delete its batch: ReportBatchItemFailures",
        "template.yaml",
        "            FunctionResponseTypes: [ReportBatchItemFailures]\n",
        "",
        TEMPLATE,
    ),
    Mutation(
        "1 what the time did not suffice for stays",
        f"{CODE}/disposition.py",
        "            return Disposition.RELEASE\n",
        "            return Disposition.DELETE\n",
        "tests/unit/test_disposition.py",
    ),
    Mutation(
        "1 what is out of attempts is dead-lettered",
        f"{CODE}/disposition.py",
        "            return Disposition.DEAD_LETTER\n",
        "            return Disposition.DELETE\n",
        LIFE,
    ),
    Mutation(
        "1 an error that nobody knows is transient",
        f"{CODE}/disposition.py",
        "    kind = Kind.WAITING\n",
        "    kind = Kind.SKIPPED\n",
        HANDLER,
    ),
    Mutation(
        "1 a refusal is permanent only when seen twice",
        f"{CODE}/disposition.py",
        "REFUSED_ATTEMPTS = 2",
        "REFUSED_ATTEMPTS = 1",
        f"{LIFE} {MODEL}",
    ),
    Mutation(
        "1 access denied is permanent only when seen twice",
        f"{CODE}/disposition.py",
        "isinstance(error, RefusedError | AccessDeniedError) and attempt >= REFUSED_ATTEMPTS",
        "isinstance(error, AccessDeniedError)",
        LIFE,
    ),
    Mutation(
        "1 a KMS key that is refused is waited for",
        f"{CODE}/gateway.py",
        "code in _DENIED | _REFUSED and is_about_a_key(said)",
        "code in _DENIED and not said",
        LIFE,
    ),
    Mutation(
        "1 an attempt that has removed something does not end its message",
        f"{CODE}/reconciler.py",
        "for region in work.requests.removed:",
        "for region in ():",
        OLD_READINGS,
    ),
    Mutation(
        "1 nor if it is not selected any more",
        f"{CODE}/reconciler.py",
        "if work.decision.skip and not removed:",
        "if work.decision.skip:",
        f"{OLD_READINGS} {SWITCHES}",
    ),
    Mutation(
        "1 nothing is written by an old reading",
        f"{CODE}/reconciler.py",
        "MOMENT_SECONDS = 0.25",
        "MOMENT_SECONDS = 9999",
        OLD_READINGS,
    ),
    Mutation(
        "1 SQS moves no message without a reason",
        f"{CODE}/disposition.py",
        "case Kind.OUT_OF_TIME if attempt < LAST_ATTEMPT:",
        "case Kind.OUT_OF_TIME:",
        f"tests/unit/test_disposition.py {REFUSED}",
    ),
    Mutation(
        "1 a removal that came second is no reason for a dead letter",
        f"{CODE}/reconciler.py",
        "requests.refused |= {region: region_problem(region, error) for region in write.regions}",
        "raise",
        MODEL,
    ),
    Mutation(
        "1 a secret that is not visible yet is waited for",
        f"{CODE}/reconciler.py",
        "NOT_FOUND_ATTEMPTS, NOT_FOUND_SECONDS = 3, 20",
        "NOT_FOUND_ATTEMPTS, NOT_FOUND_SECONDS = 1, 0",
        LIFE,
    ),
    Mutation(
        "1 looks without a wait between them do not make a new secret a deleted one",
        f"{CODE}/reconciler.py",
        "NOT_FOUND_ATTEMPTS, NOT_FOUND_SECONDS = 3, 20",
        "NOT_FOUND_ATTEMPTS, NOT_FOUND_SECONDS = 3, 0",
        LIFE,
    ),
    Mutation(
        "1 access denied is not a success",
        f"{CODE}/gateway.py",
        '_DENIED = {"AccessDeniedException", "AccessDenied"}',
        "_DENIED: set[str] = set()",
        LIFE,
    ),
    Mutation(
        "1 the next page of a sweep is enqueued",
        f"{CODE}/sweep.py",
        "        if page.next_token:\n",
        "        if not page:\n",
        SWEEP,
    ),
    Mutation(
        "1 a sweep whose token has expired begins anew, once",
        f"{CODE}/sweep.py",
        "            if request.next_token and not request.restarted:\n",
        "            if not request.next_token:\n",
        SWEEP,
    ),
    Mutation(
        "1 words of AWS that nobody knows are a letter, not drift",
        f"{CODE}/reconciler.py",
        '_NAME_TAKEN = re.compile("already exists|ResourceExistsException")',
        '_NAME_TAKEN = re.compile("")',
        DRIFT,
    ),
    Mutation(
        "1 a name that is taken is a letter if the tag asks for the Region",
        f"{CODE}/models.py",
        "return not any(asker.word for asker in askers)",
        "return any(not asker.word for asker in askers)",
        DRIFT,
    ),
    Mutation(
        "1 an event of our own call ends in no further call",
        f"{CODE}/app.py",
        "read_only=request.echo",
        "read_only=False",
        NO_LOOP,
    ),
    Mutation(
        "1 such an event is left only to what has looked since",
        f"{CODE}/echo_filter.py",
        "happened_at + MARGIN_SECONDS < self._attempted_at.get(secret, 0)",
        "secret in self._attempted_at",
        f"{LIFE} {MODEL}",
    ),
    Mutation(
        "1 two such events are not left to each other",
        f"{CODE}/app.py",
        "acted = not error and not request.echo",
        "acted = not error",
        f"{LIFE} {MODEL}",
    ),
    Mutation(
        "1 such an event is not left to a message that could not look",
        f"{CODE}/app.py",
        "acted = not error and not request.echo",
        "acted = not request.echo",
        LIFE,
    ),
    Mutation(
        "1 such an event is not left to what was looked at before it happened",
        f"{CODE}/echo_filter.py",
        "MARGIN_SECONDS = 5",
        "MARGIN_SECONDS = -5",
        LIFE,
    ),
    Mutation(
        "1 such an event is not left to a look that began before it happened",
        f"{CODE}/app.py",
        "self.echo_filter.note(result.outcome.secret, begun)",
        "self.echo_filter.note(result.outcome.secret, self.now())",
        LIFE,
    ),
    Mutation(
        "1 such an event is not left to a message that is perhaps gone",
        f"{CODE}/settle.py",
        "return replace(result, sure=sure)",
        "return replace(result, sure=True)",
        LIFE,
    ),
    Mutation(
        "1 a secret that fails for good has one letter",
        f"{CODE}/echo_filter.py",
        "happened_at + MARGIN_SECONDS < self._attempted_at.get(secret, 0)",
        "not secret",
        LIFE,
    ),
    Mutation(
        "1 the last look asks for nothing that nobody would see",
        f"{CODE}/app.py",
        "last=message.attempt >= self.settings.max_attempts",
        "last=False",
        LIFE,
    ),
    Mutation(
        "1 a letter about such an event is acted on once it is redriven",
        f"{CODE}/work_queue.py",
        "not DEAD_LETTER_ATTRIBUTES.isdisjoint(attributes)",
        "False",
        LIFE,
    ),
    Mutation(
        "1 such an event that SQS itself had moved needs one redrive",
        f"{CODE}/work_queue.py",
        '"DeadLetterQueueSourceArn" in system or',
        "False or",
        LIFE,
    ),
    Mutation(
        "1 what SQS itself had moved says that it was redriven",
        "replicas/aws/dead_letters.py",
        "{} if DEAD_LETTER_ATTRIBUTES & attributes.keys() else _REDRIVEN",
        "{} if DEAD_LETTER_ATTRIBUTES else _REDRIVEN",
        "tests/replicas/test_redrive.py",
    ),
    Mutation(
        "1 a dead letter that is too large is shortened, not put off",
        f"{CODE}/work_queue.py",
        'kind = _TooLargeError if code == "InvalidParameterValue" else TransientError',
        "kind = TransientError if code else TransientError",
        LIFE,
    ),
    Mutation(
        "1 a dead letter that was shortened can be redriven",
        f"{CODE}/work_queue.py",
        "    return request.body(), f",
        "    return body[:CUT_CHARACTERS], f",
        LIFE,
    ),
    Mutation(
        "1 what is no batch of SQS is one clear error",
        f"{CODE}/app.py",
        "if all(_is_of_sqs(record) for record in records)",
        "if records",
        HANDLER,
    ),
    Mutation(
        "1 a record that SQS would not send is one clear error",
        f"{CODE}/work_queue.py",
        "} if all(str(number).isdecimal()",
        "} if any(str(number).isdecimal()",
        HANDLER,
    ),
    Mutation(
        "1 a policy file that is not UTF-8 is said to be that",
        f"{CODE}/app.py",
        "settings.policy_file.read_bytes()",
        'settings.policy_file.read_text("utf-8")',
        HANDLER,
    ),
    Mutation(
        "1 a dead letter that was shortened says so",
        f"{CODE}/work_queue.py",
        'attributes | {"OriginalBody": what_was_done}',
        "attributes",
        LIFE,
    ),
    Mutation(
        "1 what a queue did not take is not lost",
        f"{CODE}/work_queue.py",
        'raise kind(f"{action} failed ({error})", ',
        'return  # (f"{action} failed ({error})", ',
        f"{LIFE} {SWEEP}",
    ),
    Mutation(
        "1 what EventBridge cannot deliver is kept",
        "template.yaml",
        "          RetryPolicy: { MaximumEventAgeInSeconds: 86400, MaximumRetryAttempts: 185 }\n"
        "          DeadLetterConfig: { Arn: !GetAtt DeadLetterQueue.Arn }\n\n  ReplicationFailedRule",
        "          RetryPolicy: { MaximumEventAgeInSeconds: 86400, MaximumRetryAttempts: 185 }\n\n"
        "  ReplicationFailedRule",
        TEMPLATE,
    ),
    Mutation(
        "1 a crash ends in the dead-letter queue",
        "template.yaml",
        "        deadLetterTargetArn: !GetAtt DeadLetterQueue.Arn\n",
        "        deadLetterTargetArn: !GetAtt ReplicationQueue.Arn\n",
        TEMPLATE,
    ),
    Mutation(
        "1 a call that AWS refused is no event: errorCode",
        "template.yaml",
        '            ],\n            "errorCode": [{ "exists": false }, null]\n',
        "            ]\n",
        RULES,
    ),
    Mutation(
        "1 a call whose errorCode is null has succeeded: its event is wanted",
        "template.yaml",
        '"errorCode": [{ "exists": false }, null]',
        '"errorCode": [{ "exists": false }]',
        RULES,
    ),
    Mutation(
        "1 a call whose errorCode is null has succeeded: its event is understood",
        f"{CODE}/messages.py",
        'detail.get("errorCode") is not None',
        '"errorCode" in detail',
        MESSAGES,
    ),
    Mutation(
        "1 a label of any name is an event",
        "template.yaml",
        "        detail-type: [Secret Label Updated]\n",
        "        detail-type: [Secret Label Updated]\n        detail: { labelUpdated: [AWSCURRENT] }\n",
        RULES,
    ),
    Mutation(
        "1 a promoted replica is an event",
        "template.yaml",
        '"StopReplicationToReplica", "PutResourcePolicy"',
        '"PutResourcePolicy"',
        RULES,
    ),
    Mutation(
        "1 a secret is found among an event's resources",
        f"{CODE}/messages.py",
        "_OF_SERVICE + _RESPONSE + _REQUEST + _RESOURCES, SERVICE_EVENTS",
        "_OF_SERVICE + _RESPONSE + _REQUEST, SERVICE_EVENTS",
        MESSAGES,
    ),
    Mutation(
        "1 what CloudTrail hides is not taken for a secret's name",
        f"{CODE}/messages.py",
        "text != _HIDDEN and _SECRET_NAME",
        "_SECRET_NAME",
        MESSAGES,
    ),
    Mutation(
        "1 a part of the wrong type does not hide the good one beside it",
        f"{CODE}/messages.py",
        "        if path and isinstance(item, dict):\n",
        "        if path:\n            assert isinstance(item, dict)\n",
        MESSAGES,
    ),
    # 2. Only selected secrets are touched.
    Mutation(
        "2 a rule that only limits does not select",
        f"{CODE}/policy.py",
        "any(rule.regions for rule in rules)",
        "rules",
        f"{POLICY} {MODEL}",
    ),
    Mutation(
        "2 a rule needs every tag of its match",
        f"{CODE}/policy.py",
        "return not [*self.misses(tags)]",
        "return [*self.misses(tags)] != [*self.match]",
        POLICY,
    ),
    Mutation(
        "2 a sweep enqueues selected secrets only",
        f"{CODE}/sweep.py",
        " if is_selected(secret, self.policy, self.settings)",
        "",
        SWEEP,
    ),
    Mutation(
        "2 what nothing selects wants nothing",
        f"{CODE}/policy.py",
        "        return Desired(selected=False)\n",
        "        return Desired(selected=True, replicas=tuple(map(DesiredReplica, sorted(allowed))))\n",
        f"{POLICY} {LIFE} {MODEL}",
    ),
    Mutation(
        "2 untagging is no request to remove",
        f"{CODE}/planner.py",
        "if not desired.selected or desired.problems:",
        "if desired.problems:",
        PLANNER,
    ),
    Mutation(
        "2 plan mode writes nothing",
        f"{CODE}/reconciler.py",
        'self.settings.mode == "plan":',
        'self.settings.mode == "planning":',
        SWITCHES,
    ),
    Mutation(
        "2 a secret that is held is left alone",
        f"{CODE}/planner.py",
        "    if HOLD_TAG in secret.tags:\n",
        "    if not secret:\n",
        DRIFT,
    ),
    Mutation(
        "2 a service's secret is left alone if only a rule asks",
        f"{CODE}/planner.py",
        "if secret.owning_service and not desired.asked_by_tag:",
        "if not secret:",
        f"{PLANNER} {DRIFT}",
    ),
    Mutation(
        "7 AWS is asked for a service's secret if its tag asks",
        f"{CODE}/planner.py",
        "if secret.owning_service and not desired.asked_by_tag:",
        "if secret.owning_service:",
        f"{PLANNER} {LIFE}",
    ),
    Mutation(
        "7 a Region is found after every separator: |",
        f"{CODE}/policy.py",
        '_SEPARATORS = re.compile(r"[\\s,+;:/|]+")',
        '_SEPARATORS = re.compile(r"[\\s,+;]+")',
        POLICY,
    ),
    # 3. No secret value is ever readable.
    Mutation(
        "3 no value is read",
        f"{CODE}/gateway.py",
        "            answer = self.client.describe_secret(SecretId=secret_id)\n",
        "            answer = self.client.describe_secret(SecretId=secret_id)\n"
        '            self.client.batch_get_secret_value(SecretIdList=["orders/db"])\n',
        LIFE,
    ),
    Mutation(
        "3 the role is denied to read values",
        "template.yaml",
        "                Effect: Deny\n"
        "                Action: [secretsmanager:GetSecretValue, secretsmanager:BatchGetSecretValue]",
        "                Effect: Deny\n                Action: [secretsmanager:GetSecretValue]",
        TEMPLATE,
    ),
    # 4. Tags never grant destructive power.
    Mutation(
        "4 overwriting needs the operator's switch",
        f"{CODE}/planner.py",
        "desired if settings.allow_overwrite else overwriting_nothing(desired)",
        "desired",
        SWITCHES,
    ),
    Mutation(
        "4 overwriting needs a rule",
        f"{CODE}/policy.py",
        "any(rule.overwrite and region in rule.regions for rule in rules)",
        "True",
        SWITCHES,
    ),
    Mutation(
        "4 a rule overwrites in no Region that it does not name",
        f"{CODE}/policy.py",
        "any(rule.overwrite and region in rule.regions for rule in rules)",
        "any(rule.overwrite for rule in rules)",
        f"{POLICY} {SWITCHES}",
    ),
    Mutation(
        "4 nor does the call for the Regions that it names reach others: overwrite",
        f"{CODE}/writes.py",
        "[want for want in left if want.overwrite is overwrite]",
        "left",
        f"{SWITCHES} {WRITES}",
    ),
    Mutation(
        "4 removing needs the operator's switch",
        f"{CODE}/settings.py",
        "24 * 60 * 60 if self.prune_replicas else None",
        "24 * 60 * 60",
        SWITCHES,
    ),
    Mutation(
        "4 a wrong tag removes nothing",
        f"{CODE}/planner.py",
        "if not desired.selected or desired.problems:",
        "if not desired.selected:",
        SWITCHES,
    ),
    Mutation(
        "4 what was read lately is not removed",
        f"{CODE}/planner.py",
        "if _read_until(have) >= prune_before:",
        "if not have.region:",
        DRIFT,
    ),
    Mutation(
        "4 a day of reading counts to its end",
        f"{CODE}/planner.py",
        "return replica.last_accessed + _DAY_SECONDS if",
        "return replica.last_accessed if",
        PLANNER,
    ),
    Mutation(
        "4 the role cannot remove while the switch is off",
        "template.yaml",
        'MayRemove: !And [!Condition MayWrite, !Equals [!Ref PruneReplicas, "true"]]',
        'MayRemove: !And [!Condition MayWrite, !Not [!Equals [!Ref PruneReplicas, "maybe"]]]',
        TEMPLATE,
    ),
    Mutation(
        "4 the role cannot overwrite while the switch is off",
        "template.yaml",
        '["false", !If [MayOverwrite, "true", "false"]]',
        '["false", "true"]',
        TEMPLATE,
    ),
    Mutation(
        "4 the role cannot write in plan mode",
        "template.yaml",
        "MayWrite: !Equals [!Ref Mode, apply]",
        'MayWrite: !Not [!Equals [!Ref Mode, "off"]]',
        TEMPLATE,
    ),
    # 5. Only the primary, only in this Region.
    Mutation(
        "5 a replica is left alone: PrimaryRegion",
        f"{CODE}/planner.py",
        'if secret.primary_region not in ("", settings.region) or',
        'if secret.primary_region == "nowhere" or',
        LIFE,
    ),
    Mutation(
        "5 a sweep leaves replicas out",
        f"{CODE}/planner.py",
        "return not _reason_to_skip(secret, desired, settings)",
        "return desired.selected",
        SWEEP,
    ),
    Mutation(
        "5 an event from a replica's Region is about the primary",
        f"{CODE}/messages.py",
        "    return secret_id[:start] + home_region + secret_id[end:]\n",
        "    return secret_id if home_region else secret_id[start:end]\n",
        MESSAGES,
    ),
    Mutation(
        "5 the role writes to primaries of this Region only",
        "template.yaml",
        "StringEqualsIfExists: { secretsmanager:SecretPrimaryRegion: !Ref AWS::Region }",
        "StringEqualsIfExists: { secretsmanager:Name: any }",
        TEMPLATE,
    ),
    Mutation(
        "5 a secret of another account is left alone",
        f"{CODE}/planner.py",
        'own = {"partition": settings.partition, "account": settings.account}',
        "own: dict[str, str] = {}",
        f"{PLANNER} {LIFE}",
    ),
    Mutation(
        "5 an event about another account's secret makes no call",
        f"{CODE}/reconciler.py",
        "if belongs_to_another_account(secret_id, self.settings):",
        "if not secret_id:",
        LIFE,
    ),
    Mutation(
        "5 a replica of another account's primary is left alone",
        f"{CODE}/planner.py",
        " or secret.cross_account_replica:",
        ":",
        PLANNER,
    ),
    Mutation(
        "5 CrossAccountPrimary is read",
        f"{CODE}/gateway.py",
        'answer.get("CrossAccountPrimary")',
        'answer.get("CrossAccountReplica")',
        LIFE,
    ),
    # 6. Writes stay inside a budget.
    Mutation(
        "6 no second has more writes than the share",
        f"{CODE}/budget.py",
        "heappush(self._free_at, self.clock() + WINDOW_SECONDS if begun else free_at)",
        "heappush(self._free_at, self.clock() if begun else free_at)",
        BUDGET,
    ),
    Mutation(
        "6 nor if a write waits for its slot in vain",
        f"{CODE}/budget.py",
        "heappush(self._free_at, self.clock() + WINDOW_SECONDS if begun else free_at)",
        "heappush(self._free_at, self.clock() + WINDOW_SECONDS if begun else self.clock())",
        BUDGET,
    ),
    Mutation(
        "6 nor if a call is on its way for long",
        f"{CODE}/budget.py",
        "heappush(self._free_at, self.clock() + WINDOW_SECONDS if begun else free_at)",
        "heappush(self._free_at, free_at + WINDOW_SECONDS if begun else free_at)",
        BUDGET,
    ),
    Mutation(
        "6 an instance that replaces another leaves it its last second",
        f"{CODE}/budget.py",
        "[self.clock() + WINDOW_SECONDS] * int(",
        "[self.clock()] * int(",
        BUDGET,
    ),
    Mutation(
        "6 an instance that was idle leaves others their last second",
        f"{CODE}/budget.py",
        "if self.now() - self._idle_since > PAUSE_SECONDS:",
        "if False:",
        BUDGET,
    ),
    Mutation(
        "6 an instance is idle from the end of its last invocation on",
        f"{CODE}/budget.py",
        "        finally:\n            self._idle_since = self.now()\n",
        "        finally:\n            pass\n",
        BUDGET,
    ),
    Mutation(
        "6 no write is repeated behind the budget's back",
        f"{CODE}/clients.py",
        "_config(1, connect_seconds, read_seconds)",
        "_config(2, connect_seconds, read_seconds)",
        BUDGET,
    ),
    Mutation(
        "a page that took too long to list enqueues nothing",
        f"{CODE}/sweep.py",
        "        require_time(self.gateway.clock(), deadline)\n        self.queue",
        "        self.queue",
        SWEEP,
    ),
    Mutation(
        "a page that took too long to enqueue does not begin the next",
        f"{CODE}/sweep.py",
        "            require_time(self.gateway.clock(), deadline)\n            seconds",
        "            seconds",
        SWEEP,
    ),
    Mutation(
        "a session makes one client at a time",
        f"{CODE}/clients.py",
        "        with self._lock:\n",
        "        if self._lock:\n",
        "tests/function/test_clients.py",
    ),
    Mutation(
        "a secret that nothing selects may deny to be described",
        f"{CODE}/reconciler.py",
        "if listed is None or is_selected(listed, self.policy, self.settings):",
        "if True:",
        LIFE,
    ),
    Mutation(
        "one that is selected may not",
        f"{CODE}/reconciler.py",
        "if listed is None or is_selected(listed, self.policy, self.settings):",
        "if listed is None:",
        LIFE,
    ),
    Mutation(
        "6 a sweep comes no faster than it is worked off",
        f"{CODE}/sweep.py",
        "min(MAX_DELAY_SECONDS, max(0, rounded))",
        "min(MAX_DELAY_SECONDS, max(0, rounded)) * 0",
        SWEEP,
    ),
    Mutation(
        "6 a write waits for its slot",
        f"{CODE}/budget.py",
        "            self.sleep(max(0, free_at - self.clock()))\n",
        "",
        f"{BUDGET} {MODEL}",
    ),
    Mutation(
        "6 the budget is for all instances together",
        f"{CODE}/app.py",
        "Budget(settings.writes_per_second / settings.maximum_concurrency)",
        "Budget(settings.writes_per_second)",
        BUDGET,
    ),
    # 7. One bad Region does not stop the others.
    Mutation(
        "7 a refused Region does not stop the others",
        f"{CODE}/reconciler.py",
        "            if write.replicate and len(write.regions) > 1:\n",
        "            if not write.regions:\n",
        REFUSED,
    ),
    Mutation(
        "7 what was refused is not asked for again in the same way",
        f"{CODE}/writes.py",
        "any(refused <= regions for refused in self.refused_together)",
        "any(regions < refused for refused in self.refused_together)",
        WRITES,
    ),
    Mutation(
        "7 a later attempt does not repeat the whole call",
        f"{CODE}/app.py",
        "together=message.attempt == 1",
        "together=True",
        REFUSED,
    ),
    Mutation(
        "7 secrets learn from each other which Regions are refused",
        f"{CODE}/writes.py",
        "return taken if self.clock() < until else None",
        "return None",
        WRITES,
    ),
    Mutation(
        "7 each attempt begins with other Regions",
        f"{CODE}/writes.py",
        "(zlib.crc32(self.arn.encode()) + self.attempt.number) % len(left)",
        "0",
        WRITES,
    ),
    Mutation(
        "7 one secret takes no more than a share of the time",
        f"{CODE}/reconciler.py",
        "        if work.requests.has_written:\n            # No",
        "        if not began:\n            # No",
        REFUSED,
    ),
    Mutation(
        "7 what has made no progress does not go back at once",
        f"{CODE}/reconciler.py",
        "            if not work.requests.has_written:\n                raise\n",
        "            if work:\n                raise\n",
        REFUSED,
    ),
    Mutation(
        "7 what is known of refused Regions is told",
        f"{CODE}/reconciler.py",
        "said + [refusal.text for _, refusal in sorted(work.requests.refused.items())]",
        "said",
        REFUSED,
    ),
    Mutation(
        "7 a Region that is not allowed is not asked for: AllowedRegions",
        f"{CODE}/policy.py",
        "None if region in allowed else Cut())",
        "None)",
        f"{POLICY} {LIFE}",
    ),
    Mutation(
        "7 a Region that a rule forbids is not asked for: only",
        f"{CODE}/policy.py",
        "if rule.only and region not in rule.only)",
        "if rule.only and not region)",
        POLICY,
    ),
    Mutation(
        "7 a wrong word of a tag is reported",
        f"{CODE}/policy.py",
        "for word in words if word not in meanings]",
        "for word in words if not word]",
        POLICY,
    ),
    Mutation(
        "7 a Failed Region is tried again",
        f"{CODE}/planner.py",
        "    if have.status == FAILED:\n",
        "    if not have.region:\n",
        PLANNER,
    ),
    Mutation(
        "7 the role may replicate",
        "template.yaml",
        "Action: secretsmanager:ReplicateSecretToRegions",
        "Action: secretsmanager:DescribeSecret",
        TEMPLATE,
    ),
    Mutation(
        "7 the role may replicate to the allowed Regions only",
        "template.yaml",
        "ForAllValues:StringEquals: { secretsmanager:AddReplicaRegions: !Ref AllowedRegions }",
        "ForAllValues:StringEquals: { secretsmanager:AddReplicaRegions: [eu-west-1] }",
        TEMPLATE,
    ),
    # 8. Secrets never reach logs, metrics, dead-letter attributes or error texts.
    Mutation(
        "8 a message's body is not logged",
        f"{CODE}/metrics.py",
        '"message_id": message.message_id}',
        '"message_id": message.message_id, "body": message.body}',
        f"{HANDLER} {MODEL}",
    ),
    Mutation(
        "8 an error text does not quote what is not understood",
        f"{CODE}/messages.py",
        '_malformed("text that is not JSON")',
        '_malformed(f"text that is not JSON: {body}")',
        MESSAGES,
    ),
    Mutation(
        "8 a dead letter's attributes do not quote its body",
        f"{CODE}/work_queue.py",
        '"SecretArn": outcome.secret',
        '"SecretArn": message.body',
        f"{LIFE} {MODEL}",
    ),
    # When SQS is slow, or the function's time is nearly up.
    Mutation(
        "dead letters are written at the same time",
        f"{CODE}/settle.py",
        "with ThreadPoolExecutor(max_workers=len(jobs)) as pool:",
        "with ThreadPoolExecutor(max_workers=1) as pool:",
        LIFE,
    ),
    Mutation(
        "no dead letter is begun that the function may not outlive",
        f"{CODE}/settle.py",
        "            require_time(self.clock(), deadline + RESERVED_SECONDS)\n",
        "",
        LIFE,
    ),
    Mutation(
        "an attempt that saw nothing brings nothing",
        f"{CODE}/echo_filter.py",
        "return message_id not in self._ids",
        "return True",
        "tests/function/test_outcome_events.py",
    ),
    Mutation(
        "throttling has all of botocore's names",
        f"{CODE}/throttling.py",
        "return ThrottledRetryableChecker().is_retryable(context)",
        'return bool(context) and code == "ThrottlingException"',
        "tests/unit/test_throttling.py",
    ),
    # What AWS tells, and what rings.
    Mutation(
        "the alarm for dead letters stays while they are read",
        "template.yaml",
        "      EvaluationPeriods: 5\n",
        "      EvaluationPeriods: 1\n",
        TEMPLATE,
    ),
    Mutation(
        "a chain that Lambda stopped fires an alarm",
        "template.yaml",
        "      MetricName: RecursiveInvocationsDropped\n",
        "      MetricName: Throttles\n",
        TEMPLATE,
    ),
    Mutation(
        "a secret of another partition is not ours",
        f"{CODE}/planner.py",
        'own = {"partition": settings.partition, "account": settings.account}',
        'own = {"account": settings.account}',
        f"tests/unit/test_planner.py {LIFE}",
    ),
    Mutation(
        "a resource policy that is put is heard of",
        "template.yaml",
        '"StopReplicationToReplica", "PutResourcePolicy", "DeleteResourcePolicy"',
        '"StopReplicationToReplica", "DeleteResourcePolicy"',
        "tests/template/test_rules.py",
    ),
    Mutation(
        "who may use a key is not the function's role alone",
        f"{CODE}/gateway.py",
        "policy allow the function's role to use it, name it in KmsKeyArns, and see",
        "policy allow the function's role to use it, and see",
        LIFE,
    ),
    Mutation(
        "the console is where its partition has it",
        "template.yaml",
        "!If [InChina, console.amazonaws.cn, ",
        "!If [InChina, console.aws.amazon.com, ",
        TEMPLATE,
    ),
    # A promoted copy, perhaps the live one of a failover, is never overwritten.
    Mutation(
        "a promoted copy is looked for before it would be overwritten",
        f"{CODE}/overwrites.py",
        "for want in asked if want.overwrite\n",
        "for want in ()\n",
        PROMOTED,
    ),
    Mutation(
        "a promoted copy is known by its suffix",
        f"{CODE}/overwrites.py",
        "return tagged or _suffix(there.arn) == _suffix(secret.arn)",
        "return tagged",
        PROMOTED,
    ),
    Mutation(
        "another primary is not overwritten",
        f"{CODE}/overwrites.py",
        "return tagged or _suffix(there.arn) == _suffix(secret.arn)",
        "return _suffix(there.arn) == _suffix(secret.arn)",
        PROMOTED,
    ),
    Mutation(
        "nor is a replica of another Region's primary",
        f"{CODE}/overwrites.py",
        'or there.primary_region not in ("", self.home_region):',
        "or there.primary_region == there.arn:",
        PROMOTED,
    ),
    Mutation(
        "nor is one of another account's",
        f"{CODE}/overwrites.py",
        "if there.cross_account_replica or",
        "if",
        PROMOTED,
    ),
    Mutation(
        "a check elsewhere makes no reading old",
        f"{CODE}/reconciler.py",
        "if elsewhere and self.budget.clock() - read_at > MOMENT_SECONDS:",
        "if False:",
        PROMOTED,
    ),
    Mutation(
        "what may be overwritten only since the check is checked first",
        f"{CODE}/overwrites.py",
        "if want.overwrite and want.region not in found:",
        "if False:",
        PROMOTED,
    ),
    Mutation(
        "a silent Region is not waited for every time",
        f"{CODE}/overwrites.py",
        "self.clock() + SILENT_SECONDS",
        "self.clock()",
        PROMOTED,
    ),
    Mutation(
        "an instance that was frozen leaves its first second to others",
        f"{CODE}/budget.py",
        "if self.now() - self._idle_since > PAUSE_SECONDS:",
        "if self.clock() - self._idle_since > PAUSE_SECONDS:",
        BUDGET,
    ),
    Mutation(
        "a replica of the primary itself may be asked for again",
        f"{CODE}/overwrites.py",
        "if there.primary_region:",
        "if not there.primary_region:",
        f"{PROMOTED} {MODEL}",
    ),
    Mutation(
        "what may not be looked at is not overwritten",
        f"{CODE}/overwrites.py",
        "left_out = kept.keys() | unseen.keys()",
        "left_out = kept.keys()",
        PROMOTED,
    ),
    Mutation(
        "what could not be looked at is said",
        f"{CODE}/reconciler.py",
        "    if region in work.decision.unseen:\n",
        "    if False:\n",
        PROMOTED,
    ),
    Mutation(
        "a promoted copy keeps no message in the queue",
        f"{CODE}/overwrites.py",
        "replicas=_without(decision.desired.replicas, kept)",
        "replicas=decision.desired.replicas",
        PROMOTED,
    ),
    # What the operator's commands promise.
    Mutation(
        "ops: a plan says what the function does",
        "replicas/commands/plan.py",
        "    for want in plan.retry:\n",
        "    for want in ():\n",
        "tests/replicas/test_plan.py",
    ),
    Mutation(
        "ops: a plan says where it may overwrite",
        "replicas/commands/steps.py",
        'return f"{self.action}, may overwrite" if self.may_overwrite else self.action',
        "return self.action",
        "tests/replicas/test_plan.py",
    ),
    Mutation(
        "ops: another policy promises nothing for what is left alone",
        "replicas/commands/plan.py",
        "    if found.skip:\n",
        "    if not found:\n",
        "tests/replicas/test_plan.py",
    ),
    Mutation(
        "ops: throttling is waited out",
        "replicas/inventory/inventory.py",
        "            time.sleep(THROTTLED_SECONDS)\n",
        "            raise\n",
        "tests/replicas/test_reading.py",
    ),
    Mutation(
        "ops: never more than a hundred calls are begun",
        "replicas/inventory/inventory.py",
        "AHEAD = 100",
        "AHEAD = 10_000",
        "tests/replicas/test_reading.py",
    ),
    Mutation(
        "ops: what needs a person comes first",
        "replicas/commands/status.py",
        "    answers.total.rows.sort(key=lambda row: row.place)\n",
        "",
        "tests/replicas/test_status.py",
    ),
    Mutation(
        "ops: a report is loud where AWS alone says InSync",
        "replicas/commands/report/proof.py",
        "if IN_SYNC in (found.aws_says, cells.get(found.region))",
        "if found.aws_says == cells.get(found.region)",
        "tests/replicas/test_report.py",
    ),
    Mutation(
        "ops: a report shows what is missing there though AWS lists it",
        "replicas/commands/report/proof.py",
        "if found.state is not State.MISSING or found.region in disagreeing",
        "if found.state is not State.MISSING",
        "tests/replicas/test_report.py",
    ),
    Mutation(
        "ops: a home that failed is asked for again where AWS refuses to be asked twice",
        "replicas/commands/failover/rejoin.py",
        "    _forget_failed(desk, there, [back])\n",
        "",
        "tests/replicas/test_rejoin.py",
    ),
    Mutation(
        "ops: what changes while an overwrite waits, or is throttled, is left",
        "replicas/aws/region_secrets.py",
        '    if check := getattr(_of_thread, "check", None):\n        check()\n',
        "    return\n",
        "tests/replicas/test_rejoin.py",
    ),
    Mutation(
        "ops: another secret at home is left where the promoted copy is gone",
        "replicas/failover/compare.py",
        "is_same = home.identity == sides.identity and not home.deleted",
        "is_same = there is None or (home.identity == sides.identity and not home.deleted)",
        "tests/replicas/test_rejoin.py",
    ),
    Mutation(
        "ops: a promoted copy is not taken off home's list",
        "replicas/commands/failover/rejoin.py",
        "            _require_replicas(desk, sides, left)\n",
        "",
        "tests/replicas/test_rejoin.py",
    ),
    Mutation(
        "ops: versions are not compared because of a secret that has none",
        "replicas/commands/failover/verify.py",
        "            self.sound.append(pair.primary)\n",
        "            self.sound.append(pair.primary)\n            self.comparable = True\n",
        "tests/replicas/test_verify.py",
    ),
    Mutation(
        "ops: a Region that cannot be read ends no verify",
        "replicas/commands/failover/verify.py",
        '            verified.unread.append(f"{verified.place(region)} could not be read: {error}")',
        "            raise",
        "tests/replicas/test_verify.py",
    ),
    Mutation(
        "ops: a sweep is done only when no secret waits",
        "replicas/aws/function_log.py",
        "return read_all and len(self.secrets) >= self.selected and self.settled == len(self.secrets)",
        "return read_all and len(self.secrets) >= self.selected",
        SWEEP_COMMAND,
    ),
    Mutation(
        "ops: a sweep with a dead letter is not all well",
        "replicas/commands/sweep.py",
        'return CHANGES if progress.of("dead_letter") else OK',
        "return OK",
        SWEEP_COMMAND,
    ),
    Mutation(
        "ops: a report does not grow with the secrets of a thousand accounts",
        "replicas/commands/report/report.html.j2",
        "{%- for row in rows[:shown] %}",
        "{%- for row in rows %}",
        "tests/replicas/test_report.py",
    ),
    Mutation(
        "ops: accounts that could not be read come first in a report",
        "replicas/commands/report/page.py",
        "(not line.error, -(line.attention or 0), line.width, line.name)",
        "(line.width, line.name)",
        "tests/replicas/test_report.py",
    ),
    Mutation(
        "ops: an account that cannot be read is exit code 1",
        "replicas/aws/accounts.py",
        "if failed := [answer.account for answer in self.of if answer.error]:",
        "if failed := [answer.account for answer in self.of if not answer]:",
        "tests/replicas/test_accounts.py",
    ),
    Mutation(
        "ops: Ctrl-C ends the accounts that are being read",
        "replicas/aws/accounts.py",
        "                if self.stop.is_set():",
        "                if self.stop is None:",
        "tests/replicas/test_accounts.py",
    ),
    Mutation(
        "ops: doctor counts what is good of several stacks, and hides nothing else",
        "replicas/commands/doctor/command.py",
        "if not several or finding.status is not Status.GOOD:",
        "if not several or finding.status is Status.BAD:",
        "tests/replicas/test_doctor.py",
    ),
    Mutation(
        "ops: hostile names are text in the report",
        "replicas/commands/report/page.py",
        "select_autoescape(default=True, default_for_string=True)",
        "select_autoescape(default=False, default_for_string=False)",
        "tests/replicas/test_report.py tests/replicas/test_report_page.py",
    ),
    Mutation(
        "ops: no cell of the CSV is a formula",
        "replicas/commands/report/page.py",
        "cell.startswith(_FORMULA)",
        "cell.startswith('=')",
        "tests/replicas/test_report.py",
    ),
    Mutation(
        "ops: hostile text cannot steer a terminal",
        "replicas/terminal.py",
        'character if character.isprintable() else " "',
        "character",
        "tests/replicas/test_explain.py tests/replicas/test_redrive.py",
    ),
)


def files() -> list[Path]:
    """List what git tracks and what it would, relative to the root."""
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [Path(name) for name in found.stdout.split("\0") if name]
    return [name for name in names if (ROOT / name).is_file()]


def copy_tree(to: Path) -> None:
    for name in files():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, to / name)
    (to / ".aws-sam").symlink_to(ROOT / ".aws-sam")


def run_tests(tree: Path, tests: Iterable[str], *options: str) -> "subprocess.CompletedProcess[str]":
    """Run pytest until its end."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--no-header", "-p", "no:cacheprovider", *options, *tests],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": "functions", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def ending(tree: Path, tests: Iterable[str], choice: str) -> pytest.ExitCode:
    """Run the chosen tests until one fails. One that never ends has failed."""
    try:
        return pytest.ExitCode(run_tests(tree, tests, "--exitfirst", "-m", choice).returncode)
    except subprocess.TimeoutExpired:
        return pytest.ExitCode.TESTS_FAILED


def result_of(tree: Path, mutation: Mutation) -> Result:
    """Mutate the tree, run the tests that must fail, the slow ones if no other does, and restore the tree."""
    file, tests = tree / mutation.file, mutation.tests.split()
    sound = file.read_text("utf-8")
    if sound.count(mutation.old) != 1:
        return Result.NOT_FOUND
    file.write_text(sound.replace(mutation.old, mutation.new), "utf-8")
    try:
        ended = ending(tree, tests, "not slow")
        slow = ended in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if slow:
            ended = ending(tree, tests, "slow")
    finally:
        file.write_text(sound, "utf-8")
    if (
        slow
        and ended is pytest.ExitCode.TESTS_FAILED
        and ending(tree, tests, "slow") is not pytest.ExitCode.OK
    ):
        return Result.RED_ANYWAY
    return RESULTS.get(ended, Result.DOES_NOT_RUN)


def play(chosen: Sequence[Mutation], trees: Iterable[Path], console: Console) -> int:
    """Play each mutation in a tree that is free, say how it ended, and return how many were caught."""
    free = SimpleQueue[Path]()
    for tree in trees:
        free.put(tree)

    def timed(mutation: Mutation) -> tuple[Result, float]:
        tree, began = free.get(), time.monotonic()
        try:
            return result_of(tree, mutation), time.monotonic() - began
        finally:
            free.put(tree)

    results = []
    with ThreadPoolExecutor(WORKERS) as pool:
        calls = {pool.submit(timed, mutation): mutation for mutation in chosen}
        try:
            for number, call in enumerate(as_completed(calls), start=1):
                mutation, (result, seconds) = calls[call], call.result()
                results.append(result)
                said = f"{number:3}/{len(chosen)} {seconds:3.0f} s  {result}: {mutation.promise}"
                if result is Result.CAUGHT:
                    console.print(Text(said))
                else:
                    console.print(Text(f"{said} ({mutation.file}, {mutation.tests})", "red"))
        finally:
            pool.shutdown(cancel_futures=True)
    return results.count(Result.CAUGHT)


def main(words: Sequence[str]) -> int:
    console = Console(soft_wrap=True, highlight=False)
    chosen = [
        mutation for mutation in MUTATIONS if all(word.lower() in mutation.promise.lower() for word in words)
    ]
    if not chosen:
        console.print("No promise has these words", style="red")
        return 2
    with TemporaryDirectory() as folder:
        trees = [Path(folder) / str(number) for number in range(WORKERS)]
        for tree in trees:
            copy_tree(tree)
        console.print("First the tests as they are, with nothing broken")
        tests = sorted({test for mutation in chosen for test in mutation.tests.split()})
        unbroken = run_tests(trees[0], tests, "-m", "not slow", "--numprocesses", str(WORKERS))
        if unbroken.returncode:
            console.print(Text(unbroken.stdout[-4000:]))
            console.print("The tests are not green before anything is broken", style="red")
            return 1
        caught = play(chosen, trees, console)
    console.print(f"{caught} of {len(chosen)} mutations were caught")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
