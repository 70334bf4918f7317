"""One table of expectations for all that play Secrets Manager: the strict model, moto, and MiniStack.

Where one of them does otherwise than AWS, the table says what it does, and why that does no harm here or what
stands in for it. So a difference that goes away is seen, too.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from local.aws.ministack import LocalAws, local_aws
from local.secrets_manager.operations import NO_REPLICA_WRITES
from local.secrets_manager.service import StrictSecretsManager

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

HOME, WEST, EU = "us-east-1", "us-west-2", "eu-west-1"
MODEL, MODEL_OVER_HTTP, MODEL_IN_MINISTACK = "model", "model over HTTP", "model in MiniStack"
MOTO, MINISTACK = "moto", "MiniStack's own"

Connect = Callable[[str], "SecretsManagerClient"]


class Service:
    """One of them, with a secret `db` in the home Region, tagged for the West."""

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        self.home, self.west = connect(HOME), connect(WEST)
        self.arn = self.create("db", SecretString="hush", Tags=tags(("replicate-to", WEST)))

    def create(self, name: str, **params: Any) -> str:
        return self.home.create_secret(Name=name, **params)["ARN"]

    def described(self) -> Mapping[str, Any]:
        return self.home.describe_secret(SecretId="db")

    def replicate(self, *regions: str) -> object:
        wanted: Any = [{"Region": region} for region in regions]
        return self.home.replicate_secret_to_regions(SecretId="db", AddReplicaRegions=wanted)

    def statuses(self) -> dict[str, str]:
        return {entry["Region"]: entry["Status"] for entry in self.described().get("ReplicationStatus", [])}

    def names(self, *filters: tuple[str, str], **params: Any) -> list[str]:
        wanted: Any = [{"Key": key, "Values": [value]} for key, value in filters]
        listed = self.home.list_secrets(Filters=wanted, **params)["SecretList"]
        return sorted(entry["Name"] for entry in listed)


def tags(*pairs: tuple[str, str]) -> Any:
    return [{"Key": key, "Value": value} for key, value in pairs]


def said(call: Callable[[], object]) -> str:
    """Return the code and the text of a refusal, or `done`."""
    try:
        call()
    except ClientError as refused:
        error = refused.response["Error"]
        return f"{error['Code']}: {error.get('Message', '')}"
    except (KeyError, NotImplementedError) as unknown:  # moto's own
        return type(unknown).__name__
    return "done"


def code(call: Callable[[], object]) -> str:
    return said(call).partition(":")[0]


# What is asked


def a_created_secret(service: Service) -> object:
    found = service.described()
    stages = [*found["VersionIdsToStages"].values()]
    return found["Tags"], stages, {"ReplicationStatus", "PrimaryRegion", "DeletedDate"} & found.keys()


def its_names(service: Service) -> object:
    names = "db", service.arn, service.arn[:-7]
    return {service.home.describe_secret(SecretId=name)["ARN"] == service.arn for name in names}


def a_taken_name(service: Service) -> object:
    return code(lambda: service.create("db", SecretString="x"))


def changed_tags(service: Service) -> object:
    service.home.tag_resource(SecretId="db", Tags=tags(("a", "1"), ("replicate-to", EU)))
    service.home.untag_resource(SecretId="db", TagKeys=["a"])
    return service.described()["Tags"]


def a_replica(service: Service) -> object:
    service.replicate(WEST)
    replica, primary = service.west.describe_secret(SecretId="db"), service.described()
    return (
        replica["ARN"] == primary["ARN"].replace(HOME, WEST),
        replica["PrimaryRegion"],
        replica["Tags"] == primary["Tags"],
        service.statuses(),
    )


def the_key_of_a_replica(service: Service) -> object:
    service.replicate(WEST)
    return service.described()["ReplicationStatus"][0].get("KmsKeyId")


def the_primary_region_of_a_primary(service: Service) -> object:
    service.replicate(WEST)
    return service.described().get("PrimaryRegion")


def the_answer_to_replicate(service: Service) -> object:
    answer: Any = service.replicate(WEST)
    return [entry["Status"] for entry in answer["ReplicationStatus"]]


def a_region_that_is_asked_for_again(service: Service) -> object:
    service.replicate(WEST)
    service.replicate(WEST)
    return [(entry["Region"], entry["Status"]) for entry in service.described()["ReplicationStatus"]]


def a_same_named_secret(service: Service) -> object:
    service.west.create_secret(Name="db", SecretString="theirs")
    answer = code(lambda: service.replicate(WEST))
    entries = service.described().get("ReplicationStatus", [])
    return (
        answer,
        service.statuses(),
        ["already exists" in entry.get("StatusMessage", "") for entry in entries],
    )


def the_own_region(service: Service) -> object:
    return said(lambda: service.replicate(WEST, HOME)), service.statuses()


def an_unknown_region(service: Service) -> object:
    return code(lambda: service.replicate("mars-north-1"))


def writes_on_a_replica(service: Service) -> object:
    service.replicate(WEST)
    west = service.west
    return {
        said(partial(west.put_secret_value, SecretId="db", SecretString="x")),
        said(partial(west.tag_resource, SecretId="db", Tags=tags(("a", "b")))),
        said(partial(west.delete_secret, SecretId="db")),
        said(partial(west.replicate_secret_to_regions, SecretId="db", AddReplicaRegions=[{"Region": EU}])),
    }


def a_new_value(service: Service) -> object:
    service.replicate(WEST)
    service.home.put_secret_value(SecretId="db", SecretString="new", ClientRequestToken="0" * 32)
    return "0" * 32 in service.west.describe_secret(SecretId="db")["VersionIdsToStages"]


def a_deletion_with_replicas(service: Service) -> object:
    service.replicate(WEST)
    return said(lambda: service.home.delete_secret(SecretId="db")).replace(service.arn, "db").rstrip(".")


def a_removed_region(service: Service) -> object:
    service.replicate(WEST)
    answer = code(
        lambda: service.home.remove_regions_from_replication(SecretId="db", RemoveReplicaRegions=[WEST])
    )
    return answer, service.statuses(), code(lambda: service.west.describe_secret(SecretId="db"))


def a_deletion_and_a_restoration(service: Service) -> object:
    service.home.delete_secret(SecretId="db")
    deleted = "DeletedDate" in service.described()
    update = code(lambda: service.home.update_secret(SecretId="db", SecretString="x"))
    service.home.restore_secret(SecretId="db")
    return deleted, update, service.described().get("DeletedDate")


def a_replication_of_what_is_deleted(service: Service) -> object:
    service.home.delete_secret(SecretId="db")
    return code(lambda: service.replicate(WEST))


def a_deletion_without_recovery(service: Service) -> object:
    service.home.delete_secret(SecretId="db", ForceDeleteWithoutRecovery=True)
    return said(service.described)


def filtered_lists(service: Service) -> object:
    service.create("other", Tags=tags(("replicate", "eu"), ("x", WEST)))
    return [
        service.names(("tag-key", "replicate-to")),
        service.names(("tag-key", "replic")),
        service.names(("tag-key", "Replic")),
        service.names(("tag-value", "west")),
        service.names(("tag-key", "replic"), ("tag-value", "us-w")),
    ]


def a_list_with_a_deleted_secret(service: Service) -> object:
    service.create("gone", SecretString="x")
    service.home.delete_secret(SecretId="gone")
    (entry,) = service.home.list_secrets()["SecretList"]
    return entry["Tags"], "ReplicationStatus" in entry, service.names(IncludePlannedDeletion=True)


def pages(service: Service) -> object:
    for number in range(4):
        service.create(f"more-{number}", SecretString="x")
    found = [*service.home.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 2})]
    listed = [[entry["Name"] for entry in page["SecretList"]] for page in found]
    return [len(page) for page in listed], len({name for page in listed for name in page})


def a_promoted_replica(service: Service) -> object:
    service.replicate(WEST)
    answer = code(lambda: service.west.stop_replication_to_replica(SecretId="db"))
    found = service.west.describe_secret(SecretId="db")
    write = code(lambda: service.west.put_secret_value(SecretId="db", SecretString="its own"))
    return answer, found.get("PrimaryRegion"), service.statuses(), write


def a_promotion_at_home(service: Service) -> object:
    service.replicate(WEST)
    return code(lambda: service.home.stop_replication_to_replica(SecretId="db"))


def a_resource_policy(service: Service) -> object:
    service.replicate(WEST)
    put = partial(service.west.put_resource_policy, SecretId="db", ResourcePolicy=POLICY)
    refused = code(put)
    service.home.put_resource_policy(SecretId="db", ResourcePolicy=POLICY)
    read = partial(service.west.get_resource_policy, SecretId="db")
    if (answer := code(read)) != "done":
        return refused, answer
    put_first = read().get("ResourcePolicy") == POLICY
    service.home.delete_resource_policy(SecretId="db")
    return refused, put_first, read().get("ResourcePolicy")


def tags_after_replication(service: Service) -> object:
    service.replicate(WEST)
    service.home.tag_resource(SecretId="db", Tags=tags(("a", "1")))
    return service.west.describe_secret(SecretId="db")["Tags"] == service.described()["Tags"]


def what_two_lists_compare(service: Service) -> object:
    service.replicate(WEST)
    (here,), (there,) = (client.list_secrets()["SecretList"] for client in (service.home, service.west))
    versions = [entry.get("SecretVersionsToStages") for entry in (here, there)]
    return versions[0] == versions[1] != {}, "LastChangedDate" in here, there.get("PrimaryRegion")


def lists_by_primary_and_owner(service: Service) -> object:
    service.replicate(WEST)
    service.create("other", SecretString="x")
    return [
        service.names(("primary-region", HOME)),
        service.names(("primary-region", WEST)),
        service.names(("owning-service", "rds")),
    ]


def moved_labels(service: Service) -> object:
    (old,) = service.described()["VersionIdsToStages"]
    new = service.home.put_secret_value(SecretId="db", SecretString="new")["VersionId"]
    service.home.update_secret_version_stage(
        SecretId="db", VersionStage="AWSCURRENT", MoveToVersionId=old, RemoveFromVersionId=new
    )
    stages = service.described()["VersionIdsToStages"]
    return stages[old], stages[new]


def a_region_that_has_no_replica(service: Service) -> object:
    return code(
        lambda: service.home.remove_regions_from_replication(SecretId="db", RemoveReplicaRegions=[WEST])
    )


def a_key_that_is_not_there(service: Service) -> object:
    missing: Any = [{"Region": WEST, "KmsKeyId": "alias/not-there"}]
    service.home.replicate_secret_to_regions(SecretId="db", AddReplicaRegions=missing)
    return service.statuses()


def fifty_one_tags(service: Service) -> object:
    many = tags(*((f"key-{number}", "x") for number in range(51)))
    return code(lambda: service.home.tag_resource(SecretId="db", Tags=many))


# What must be seen


@dataclass(frozen=True)
class Expectation:
    """What AWS shows, and what one of them shows instead, with the reason why that is so."""

    seen: Callable[[Service], object]
    promised: object
    instead: Mapping[str, tuple[object, str]] = field(default_factory=dict)

    def of(self, who: str) -> object:
        return self.instead[who][0] if who in self.instead else self.promised


POLICY = '{"Version": "2012-10-17", "Statement": []}'
TAGGED = tags(("replicate-to", WEST))
AT_ONCE = "it has no life cycle: only the strict model shows InProgress"
SEEN_IN_MODEL = "the function takes a missing one for its own Region, and both are tried on the strict model"
NO_PROMOTION = "it has no StopReplicationToReplica; `promote` and `rejoin` are tried on the strict model"
NO_KEYS = "it looks at no key; those that cannot be used are tried on the strict model"
MINISTACKS_OWN_REGION = "The replica region can't be the same as the primary secret region."
EXPECTATIONS = [
    Expectation(a_created_secret, (TAGGED, [["AWSCURRENT"]], set())),
    Expectation(its_names, {True}),
    Expectation(a_taken_name, "ResourceExistsException"),
    Expectation(changed_tags, tags(("replicate-to", EU))),
    Expectation(a_replica, (True, HOME, True, {WEST: "InSync"})),
    Expectation(
        the_key_of_a_replica,
        "alias/aws/secretsmanager",
        {MINISTACK: (None, "it leaves the default key out; the planner takes none for the default")},
    ),
    Expectation(
        the_primary_region_of_a_primary,
        HOME,
        {MOTO: (None, SEEN_IN_MODEL), MINISTACK: (None, SEEN_IN_MODEL)},
    ),
    Expectation(
        the_answer_to_replicate,
        ["InProgress"],
        {MOTO: (["InSync"], AT_ONCE), MINISTACK: (["InSync"], AT_ONCE)},
    ),
    Expectation(
        a_region_that_is_asked_for_again,
        [(WEST, "InSync")],
        {
            MOTO: (
                [(WEST, "InSync"), (WEST, "Failed")],
                "it lists the Region twice; the planner takes the better one",
            )
        },
    ),
    Expectation(
        a_same_named_secret,
        ("done", {WEST: "Failed"}, [True]),
        {
            MINISTACK: (
                ("ResourceExistsException", {}, []),
                "it refuses the call; the demo shows that dead letter",
            )
        },
    ),
    Expectation(
        the_own_region,
        ("InvalidParameterException: Invalid replica region.", {}),
        {
            MINISTACK: (
                (f"InvalidParameterException: {MINISTACKS_OWN_REGION}", {}),
                "the same refusal in other words; no word of it is read",
            )
        },
    ),
    Expectation(
        an_unknown_region,
        "InvalidParameterException",
        {
            MOTO: ("KeyError", "it looks the Region up in a dictionary of its own"),
            MINISTACK: ("done", "it knows no list of Regions; AllowedRegions is checked before any call"),
        },
    ),
    Expectation(
        writes_on_a_replica,
        {f"InvalidParameterException: {NO_REPLICA_WRITES}"},
        {
            MINISTACK: (
                {"InvalidRequestException: You can't perform this operation on a replica secret."},
                "another code for the same refusal; both are refusals to the gateway",
            )
        },
    ),
    Expectation(a_new_value, promised=True),
    Expectation(
        a_deletion_with_replicas,
        "InvalidParameterException: You can't delete secret db that still has replica regions [us-west-2]",
        {MINISTACK: ("done", "it deletes both; the README says so where it speaks of the local AWS")},
    ),
    Expectation(
        a_removed_region,
        ("done", {}, "ResourceNotFoundException"),
        {
            MINISTACK: (
                ("InvalidRequestException", {WEST: "InSync"}, "done"),
                "it has no RemoveRegionsFromReplication; pruning is tried on moto and the strict model",
            )
        },
    ),
    Expectation(a_deletion_and_a_restoration, (True, "InvalidRequestException", None)),
    Expectation(
        a_replication_of_what_is_deleted,
        "InvalidRequestException",
        {MOTO: ("done", "it does not look; the function asks for nothing that is to be deleted")},
    ),
    Expectation(
        a_deletion_without_recovery,
        "ResourceNotFoundException: Secrets Manager can't find the specified secret.",
    ),
    Expectation(
        filtered_lists,
        [["db"], ["db", "other"], [], [], ["db", "other"]],
        {
            MINISTACK: (
                [["db"], [], [], [], []],
                "it compares whole tags, not their beginnings; a sweep looks at the tags again either way",
            )
        },
    ),
    Expectation(a_list_with_a_deleted_secret, (TAGGED, False, ["db", "gone"])),
    Expectation(pages, ([2, 2, 1], 5)),
    Expectation(
        a_promoted_replica,
        ("done", None, {}, "done"),
        {
            MOTO: (
                ("NotImplementedError", HOME, {WEST: "InSync"}, "InvalidParameterException"),
                NO_PROMOTION,
            ),
            MINISTACK: (
                ("InvalidRequestException", HOME, {WEST: "InSync"}, "InvalidRequestException"),
                NO_PROMOTION,
            ),
        },
    ),
    Expectation(
        a_promotion_at_home, "InvalidRequestException", {MOTO: ("NotImplementedError", NO_PROMOTION)}
    ),
    Expectation(
        a_resource_policy,
        ("InvalidParameterException", True, None),
        {
            MOTO: (
                ("InvalidParameterException", "InvalidParameterException"),
                "it does not show a replica's policy; nothing here reads one",
            ),
            MINISTACK: (("done", True, None), "it lets a replica's policy be put; nothing here puts one"),
        },
    ),
    Expectation(tags_after_replication, promised=True),
    Expectation(what_two_lists_compare, (True, True, HOME)),
    Expectation(
        lists_by_primary_and_owner,
        [["db"], [], []],
        {
            MINISTACK: (
                [["db", "other"]] * 3,
                "it passes over filters that it does not know; nothing here asks for these two",
            )
        },
    ),
    Expectation(moved_labels, (["AWSCURRENT"], ["AWSPREVIOUS"])),
    Expectation(
        a_region_that_has_no_replica,
        "InvalidParameterException",
        {
            MOTO: ("done", "it removes what is there; nothing is removed here that was not listed before"),
            MINISTACK: ("InvalidRequestException", "it has no RemoveRegionsFromReplication"),
        },
    ),
    Expectation(
        a_key_that_is_not_there,
        {WEST: "Failed"},
        {MOTO: ({WEST: "InSync"}, NO_KEYS), MINISTACK: ({WEST: "InSync"}, NO_KEYS)},
    ),
    Expectation(
        fifty_one_tags,
        "InvalidParameterException",
        {MOTO: ("done", "it counts no tags"), MINISTACK: ("done", "it counts no tags")},
    ),
]


def client_of(account: str, region: str, **where: Any) -> "SecretsManagerClient":
    return boto3.client(
        "secretsmanager",
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
        **where,
    )


@pytest.fixture(scope="session")
def ministack() -> Iterator[LocalAws]:
    with local_aws(worlds=None) as aws:
        yield aws


_accounts = count(111_111_111_111)


@pytest.fixture
def connect(who: str, request: pytest.FixtureRequest) -> Iterator[Connect]:
    here = partial(client_of, str(next(_accounts)))
    if who in (MODEL_IN_MINISTACK, MINISTACK):
        aws: LocalAws = request.getfixturevalue("ministack" if who == MINISTACK else "strict_aws")
        # An access key of twelve digits is an account of its own.
        yield partial(here, endpoint_url=aws.endpoint, verify=str(aws.ca_bundle))
    elif who == MOTO:
        with mock_aws():
            yield here
    elif who == MODEL:
        yield partial(_attached, StrictSecretsManager())
    else:
        with StrictSecretsManager().serve() as endpoint_url:
            yield partial(here, endpoint_url=endpoint_url)


def _attached(model: StrictSecretsManager, region: str) -> "SecretsManagerClient":
    client = client_of("test", region)
    model.attach(client)
    return client


WHO = [
    *(MODEL, MODEL_OVER_HTTP, MOTO),
    *(pytest.param(who, marks=pytest.mark.xdist_group(who)) for who in (MODEL_IN_MINISTACK, MINISTACK)),
]


@pytest.mark.parametrize("expectation", [pytest.param(each, id=each.seen.__name__) for each in EXPECTATIONS])
@pytest.mark.parametrize("who", WHO)
def test_it_shows_what_the_table_says(who: str, connect: Connect, expectation: Expectation) -> None:
    assert expectation.seen(Service(connect)) == expectation.of(who)


def test_every_difference_has_its_reason_and_ours_has_none() -> None:
    assert {who for each in EXPECTATIONS for who in each.instead} == {MOTO, MINISTACK}
    assert all(reason for each in EXPECTATIONS for _seen, reason in each.instead.values())
