"""Configuration: ARM templates and resources, compact YAML and the command line, all into one model."""

from __future__ import annotations

from gateway.config.load import from_command_line, load

__all__ = ["from_command_line", "load"]
