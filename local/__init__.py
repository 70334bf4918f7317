"""The whole system on one machine: a local AWS, the deployed stack, a CloudTrail relay, a demo."""
