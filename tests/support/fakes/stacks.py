"""DescribeStacks as CloudFormation answers it."""

from collections.abc import Mapping
from xml.sax.saxutils import escape


def describe_stacks(stacks: Mapping[str, Mapping[str, str]], stack: str) -> tuple[int, str]:
    """Return status and body for a stack, given the outputs of each that there is."""
    if stack not in stacks:
        return 400, (
            "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>"
            f"<Message>Stack with id {escape(stack)} does not exist</Message></Error></ErrorResponse>"
        )
    members = "".join(
        f"<member><OutputKey>{key}</OutputKey><OutputValue>{escape(value)}</OutputValue></member>"
        for key, value in stacks[stack].items()
    )
    status = "CREATE_COMPLETE" if members else "ROLLBACK_COMPLETE"
    return 200, (
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member>"
        f"<StackName>{stack}</StackName><StackStatus>{status}</StackStatus><Outputs>{members}</Outputs>"
        "</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )
