"""Failing over, decided: what both sides show, what may be done about it, and what was done. No AWS here."""
