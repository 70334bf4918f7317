"""`replicas report`: the page and its template."""
