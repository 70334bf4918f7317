"""What is asked of AWS: the deployed stack, its dead letters, its log."""
