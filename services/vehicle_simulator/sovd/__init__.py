"""Simulated vehicles with a SOVD server of their own (ISO 17978-3)."""
