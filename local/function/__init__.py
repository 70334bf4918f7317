"""The built function in Lambda's own runtime, without Docker."""
