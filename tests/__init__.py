"""Tests, in the folders of what they test."""

from hypothesis import HealthCheck, settings

# A machine that has other things to do is no fault of a property.
settings.register_profile("gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gateway")
