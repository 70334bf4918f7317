"""Whether Regions and keys of policy and parameters can be used."""

from collections.abc import Iterator

from replicas.commands.doctor.findings import Finding, bad, good, usable_key
from replicas.commands.doctor.stack import ROLE, Stack
from secret_replicator.policy import Policy


def regions_can_be_used(stack: Stack) -> Iterator[Finding]:
    """Say whether the Regions of policy and AllowedRegions exist in this partition, and are enabled."""
    connection = stack.connection
    partition = connection.session.get_partition_for_region(connection.region)
    known = {*connection.session.get_available_regions("secretsmanager", partition)}
    wanted = _regions(stack)
    for region in sorted(wanted - known):
        yield bad(
            f"{region} is not a Region of the partition {partition}",
            "correct policy.toml or AllowedRegions, or update boto3 if the Region is new",
        )
    pages = connection.account.get_paginator("list_regions").paginate(
        RegionOptStatusContains=["ENABLED", "ENABLED_BY_DEFAULT"]
    )
    enabled = {region.get("RegionName", "") for page in pages for region in page["Regions"]}
    for region in sorted(wanted & known - enabled):
        yield bad(
            f"{region} is not enabled in this account", f"aws account enable-region --region-name {region}"
        )
    if usable := sorted(wanted & known & enabled):
        yield good(f"Enabled in this account: {', '.join(usable)}")


def keys_can_be_used(stack: Stack) -> Iterator[Finding]:
    """Say whether each key of the policy resolves in its Region, and the role's policies let it be used."""
    name = stack.names[ROLE]["ReplicatorFunctionRole"]
    role = stack.connection.iam.get_role(RoleName=name)["Role"]["Arn"]
    for region, key in sorted(_keys(stack.policy)):
        yield _key_finding(stack, region, key, role)


def _regions(stack: Stack) -> set[str]:
    policy = stack.policy
    named = [*policy.groups.values(), *(rule.regions + rule.only for rule in policy.rules)]
    keyed = [policy.kms_keys, *(rule.kms_keys for rule in policy.rules)]
    allowed = stack.environment.get("ALLOWED_REGIONS", "").split(",")
    return ({region for group in named for region in group} | {*allowed}).union(*keyed) - {""}


def _keys(policy: Policy) -> set[tuple[str, str]]:
    tables = (policy.kms_keys, *(rule.kms_keys for rule in policy.rules))
    return {(region, key) for table in tables for region, key in table.items()}


def _key_finding(stack: Stack, region: str, key: str, role: str) -> Finding:
    gone = bad(f"There is no key {key} in {region}", "make it there, or correct [kms_keys] in policy.toml")
    there = stack.connection.in_region(region)
    found = usable_key(there, key, f"in {region}", gone, "name another one")
    if isinstance(found, Finding):
        return found
    return _permission_finding(stack, region, key, found.get("Arn", ""), role)


def _permission_finding(stack: Stack, region: str, key: str, arn: str, role: str) -> Finding:
    answer = stack.connection.iam.simulate_principal_policy(
        PolicySourceArn=role,
        ActionNames=["kms:GenerateDataKey", "kms:Encrypt"],
        ResourceArns=[arn],
        ContextEntries=[
            {
                "ContextKeyName": "kms:ViaService",
                "ContextKeyValues": [_secrets_manager_as_kms_names_it(stack, region)],
                "ContextKeyType": "string",
            }
        ],
    )
    denied = [
        result["EvalActionName"]
        for result in answer["EvaluationResults"]
        if result["EvalDecision"] != "allowed"
    ]
    if denied:
        return bad(
            f"The role may not use {key} in {region} ({', '.join(denied)})", f"add {arn} to KmsKeyArns"
        )
    return good(f"{key} in {region} is enabled, and the role's policies allow it. The key's own must, too")


def _secrets_manager_as_kms_names_it(stack: Stack, region: str) -> str:
    """Return `kms:ViaService` of a call that Secrets Manager makes in the Region.

    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
    """
    partition = stack.connection.session.get_partition_for_region(region)
    return f"secretsmanager.{region}.amazonaws.com{'.cn' if partition == 'aws-cn' else ''}"
