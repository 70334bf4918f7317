"""What every test needs: an environment in which the function can be imported, and no real AWS."""

import os

os.environ.update(
    {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "ALLOWED_REGIONS": "eu-west-1,us-west-2",
        "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/ReplicationQueue",
        "DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/DeadLetterQueue",
        "POWERTOOLS_SERVICE_NAME": "secret-replicator",
        "POWERTOOLS_METRICS_NAMESPACE": "SecretReplicator",
    }
)
