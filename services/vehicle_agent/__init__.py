"""Brings one vehicle or bench online that nobody can dial: dials in for it, and executes over DoIP or SOVD."""
