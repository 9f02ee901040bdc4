"""The overrides file: what may stand in it, and how what is wrong with it is said."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from gateway.config.tree import Map, line_of, nearest, plain, show
from gateway.errors import Problem

__all__ = ["CHANGED", "CertificateOverride", "OverridesFile", "PoolOverride", "canonical", "file_problem"]

CHANGED = ("pools", "settings", "probes", "listeners", "rules", "path_rules")
"""Kinds of objects that a file may change by name, key by key."""


class CertificateOverride(BaseModel):
    """The certificate to use instead of one that is only in Azure. Paths are relative to the overrides file."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    certificate_file: str | None = Field(default=None, description="PEM file: the certificate, then its intermediates.")
    key_file: str | None = Field(default=None, description="PEM file of the key; default: in `certificateFile`.")
    pfx_file: str | None = Field(default=None, description="PKCS#12 file with certificate and key.")
    password: str | None = Field(
        default=None, repr=False, description="Password of `pfxFile`, of the key file, or of the template's data."
    )


class PoolOverride(BaseModel):
    """What is different in a pool: its members, and other keys of `pools`. A list alone means its members."""

    model_config = ConfigDict(frozen=True, extra="allow")

    members: list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return {"members": [value] if isinstance(value, str) else value}
        known = {"members" if key.casefold() == "members" else key: item for key, item in value.items()}
        if isinstance(known.get("members"), str):
            known["members"] = [known["members"]]
        return known


class OverridesFile(BaseModel):
    """An overrides file."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    ports: dict[str, int] = Field(default_factory=dict, description="Port, or name of a listener, to the port to bind.")
    backends: dict[str, str] = Field(
        default_factory=dict, description="`host` or `host:port` to the `host:port` to connect to."
    )
    pools: dict[str, PoolOverride] = Field(
        default_factory=dict,
        description="Name of a pool to its members, `host:port` each; or to the keys of `pools` that differ, such as "
        "`selector`, `passiveHealth` and `discovery`, with `members` among them.",
    )
    certificates: dict[str, CertificateOverride] = Field(
        default_factory=dict, description="Name or secret id of a certificate to its files."
    )
    references: dict[str, Any] = Field(
        default_factory=dict, description="Expression or resource name to the value of `reference()`."
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="Values for the template's parameters.")
    settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Name of backend settings to the keys of `settings` that differ."
    )
    probes: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Name of a probe to the keys of `probes` that differ."
    )
    listeners: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Name of a listener to the keys of `listeners` that differ, such as `middleware`.",
    )
    rules: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Name of a rule to the keys of `rules` that differ, such as `middleware`, `filters` and `router`.",
    )
    path_rules: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="`map/rule` to the keys of `pathRules` that differ, such as `middleware` and `filters`.",
    )
    middleware: tuple[Any, ...] | None = Field(default=None, description="`middleware` of the gateway.")
    observers: tuple[Any, ...] | None = Field(default=None, description="`observers` of the gateway.")
    limits: dict[str, Any] | None = Field(default=None, description="Keys of `limits` that differ.")
    resolver: dict[str, Any] | None = Field(default=None, description="Keys of `resolver` that differ.")
    error_pages: dict[str, str] = Field(
        default_factory=dict, description="URL of an error page to the HTML file to send instead."
    )
    gateway: str | None = Field(default=None, description="Name of the gateway, where a document has several.")


_WANTED = {
    "int_parsing": "a port",
    "int_type": "a port",
    "string_type": "text",
    "list_type": "a list of host:port",
    "tuple_type": "a list",
}
"""What there should have been, by pydantic's word for what is wrong."""


def file_problem(document: Map, entry: Any) -> Problem:
    """What pydantic found wrong with the file, where it is."""
    location = entry["loc"]
    node: Any = document
    line = None
    path = ""
    for part in location:
        if part == "members" and not isinstance(node, dict):
            continue  # the list alone means its members
        line = line_of(node, part) or line
        node = (
            node.get(part)
            if isinstance(node, dict)
            else node[part]
            if isinstance(node, list) and isinstance(part, int)
            else None
        )
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    if entry["type"] == "extra_forbidden":
        known = [to_camel(name) for name in (OverridesFile if len(location) == 1 else CertificateOverride).model_fields]
        close = nearest(str(location[-1]), known)
        return Problem(
            path, f"unknown key; {f'did you mean {close!r}?' if close else 'known are ' + ', '.join(known)}", line
        )
    wanted = _WANTED.get(entry["type"], "a mapping")
    return Problem(path, f"found {show(entry['input'], str(location[-1]))}, expected {wanted}", line)


def canonical(document: Map) -> dict[str, Any]:
    """The tree of a file under the names of `OverridesFile`, without lines."""
    result: dict[str, Any] = {}
    for key, value in document.items():
        wanted = key.casefold().replace("_", "")
        name = next((known for known in OverridesFile.model_fields if known.replace("_", "") == wanted), key)
        if value is not None:
            result[name] = plain(value)
    return result
