"""Configuration: ARM templates and resources, compact YAML and the command line, all into one model."""

from __future__ import annotations

from gateway.config.command_line import from_command_line
from gateway.config.load import load

__all__ = ["from_command_line", "load"]
