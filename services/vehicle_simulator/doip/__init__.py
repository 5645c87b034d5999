"""Simulated vehicles as DoIP entities (ISO 13400-2)."""
