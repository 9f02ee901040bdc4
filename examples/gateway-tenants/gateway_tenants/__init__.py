"""Strategies for a gateway whose clients are tenants of one application."""
