"""``gatewayctl``: looks at configurations without starting anything, and has a running gateway read its own again.

``gatewayctl check FILE`` reads a configuration as ``twistd gateway --config FILE`` would and says everything that is
wrong with it; with ``--strict`` warnings are errors.  ``gatewayctl explain METHOD URL FILE`` says where a request would
go and why, ``gatewayctl explain tls://NAME:PORT FILE`` where a connection would.  ``gatewayctl convert FILE`` prints
the same configuration in the compact spelling; what is wrong, and warnings, go to standard error.
``gatewayctl plugins`` lists the strategies that are installed, with their options.
``gatewayctl reload HOST:PORT`` asks the gateway with that admin port to read its configuration again.
Exit status 0: it would start, all can be used; 1: it would not, or one cannot, or this cannot be written; 2: the
command line is wrong, which includes what its options say and that a URL is none.
"""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TextIO

from gateway.config import load
from gateway.config.defects import defect
from gateway.config.load import COMMAND_LINE
from gateway.config.model import Gateway, HttpListener, Rule
from gateway.config.options import CONFIGURATION_OPTIONS
from gateway.config.redaction import Redactor
from gateway.config.writer import write_compact
from gateway.ctl.asking import ask_to_reload
from gateway.ctl.catalogue import catalogue, catalogue_document, catalogue_text
from gateway.ctl.explaining import CONNECT, CannotAsk, NoRequest, as_document, as_text, ask
from gateway.errors import ConfigurationError, Problem
from gateway.http.authority import authority
from gateway.lifecycle.preflight import checks
from gateway.observe.reports import config_report
from gateway.strategies.factories import Factories

__all__ = ["main", "summary"]

_WRONG, _USAGE, _INTERRUPTED, _NOBODY_READS = 1, 2, 130, 141
"""Exit status; the last two are those of programs that SIGINT and SIGPIPE have ended, as a shell shows them."""


def main(arguments: Sequence[str] | None = None, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Run one command; return the exit status (usage errors raise ``SystemExit(2)``, as argparse does)."""
    out, err = _opened(out, sys.stdout), _opened(err, sys.stderr)
    said, complained = io.StringIO(), io.StringIO()
    try:
        options = _parser().parse_args(_with_method(sys.argv[1:] if arguments is None else arguments))
        status = _run(options, said, complained)
    except KeyboardInterrupt:
        _write(err, "gatewayctl: interrupted\n")
        return _INTERRUPTED
    _write(err, complained.getvalue())
    failed = _write(out, said.getvalue())
    if isinstance(failed, BrokenPipeError):
        return _NOBODY_READS
    if failed is not None:
        _write(err, f"gatewayctl: the output cannot be written: {failed.strerror}\n")
        return _WRONG
    return status


def _write(stream: TextIO | None, text: str) -> OSError | None:
    """Write all of ``text``; what was raised where that cannot be done. ``None``: a stream that was closed before."""
    try:
        if stream is not None:
            stream.write(text)
            stream.flush()
        elif text:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    except OSError as error:
        if stream is not None:
            with suppress(OSError):  # the interpreter writes what is left once more when it ends, and would complain
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
        return error
    return None


def _run(options: Any, out: TextIO, err: TextIO) -> int:
    if options.command == "plugins":
        return _plugins(options.format, out)
    if options.command == "reload":
        return ask_to_reload(options.admin, out, err)
    keywords = {option.keyword: getattr(options, option.keyword) for option in CONFIGURATION_OPTIONS}
    warnings: list[Problem] = []
    secrets: set[str] = set()
    gateway: Gateway | None = None
    errors: tuple[Problem, ...] = ()
    source = options.file
    try:
        gateway = load(options.file, warnings=warnings, checks=checks(), secrets=secrets, **keywords)
    except ConfigurationError as error:
        errors, source = error.problems, error.source
    except Exception as error:
        errors = defect(error, source).problems
        if options.traceback:
            err.write("".join(traceback.format_exception(error)))
    if options.command == "check":
        if options.strict and warnings:
            errors += tuple(problem._replace(severity="error") for problem in warnings)
            gateway, warnings = None, []
    redact = Redactor(secrets)
    if options.command == "explain":
        return _explain(options, gateway, errors, source, redact, out, err)
    if options.command == "convert":
        if errors or warnings:
            err.write(_report(source, None, errors, warnings))
        if gateway is not None:
            out.write(write_compact(gateway, source))
    elif options.format == "json":
        json.dump(_document(source, gateway, errors, warnings, redact), out, indent=2, ensure_ascii=False)
        out.write("\n")
    else:
        out.write(_report(source, gateway, errors, warnings, redact))
    return _status(errors, source)


def _status(errors: Sequence[Problem], source: str) -> int:
    if not errors:
        return 0
    return _USAGE if source == COMMAND_LINE else _WRONG


def _with_method(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments, with a method where that of ``explain`` is a connection, which needs none."""
    if not arguments or arguments[0] != "explain":
        return arguments
    at = 1
    while at < len(arguments) and arguments[at].startswith("-"):
        separate = "=" not in arguments[at] and (arguments[at].startswith("--") or len(arguments[at]) == 2)
        at += 2 if separate else 1
    if at < len(arguments) and arguments[at].lower().startswith(("tcp://", "tls://")):
        return [*arguments[:at], CONNECT, *arguments[at:]]
    return arguments


def _method(text: str) -> str:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"METHOD is missing before {text[:80]!r}: GET, say")
    return text


def _explain(
    options: Any, gateway: Gateway | None, errors: Sequence[Problem], source: str, redact: Redactor,
    out: TextIO, err: TextIO,
) -> int:  # fmt: skip
    if gateway is None:
        err.write(_report(source, None, errors, ()))
        return _status(errors, source)
    try:
        asked = ask(gateway, options.method, options.url, options.header, options.client)
    except CannotAsk as error:
        err.write(f"gatewayctl explain: {error}\n")
        return _USAGE if isinstance(error, NoRequest) else _WRONG
    if options.format == "json":
        json.dump(redact.document(as_document(asked)), out, indent=2, ensure_ascii=False)
        out.write("\n")
    else:
        out.write(redact.text("\n".join(as_text(asked))) + "\n")
    return 0


def _plugins(form: str, out: TextIO) -> int:
    factories = Factories()
    found, broken = catalogue(factories), factories.left_out()
    if form == "json":
        json.dump(catalogue_document(found, broken), out, indent=2, ensure_ascii=False)
        out.write("\n")
    else:
        out.write(catalogue_text(found, broken))
    return _WRONG if broken or any(listed.problem for listed in found) else 0


def _opened(given: TextIO | None, usual: TextIO | None) -> TextIO | None:
    if given is not None:
        return given
    if isinstance(usual, io.TextIOWrapper):
        usual.reconfigure(errors="backslashreplace")  # a name may have characters that the terminal has not
    return usual


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gatewayctl", description="Looks at gateway configurations without starting anything."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="say what is wrong with a configuration and what it would run")
    convert = commands.add_parser("convert", help="print a configuration in the compact spelling, secrets included")
    explain = commands.add_parser("explain", help="say where a request or a connection would go, and why")
    explain.add_argument(
        "method", metavar="METHOD", type=_method, help="GET, say; to be left out where URL is a connection's"
    )
    explain.add_argument(
        "url", metavar="URL",
        help="http, https, ws or wss, with host and port of a listener; for a connection of plain TCP or TLS "
        "tcp://ADDRESS:PORT, or tls://NAME:PORT with the server name that the client sends",
    )  # fmt: skip
    explain.add_argument(
        "-H", "--header", action="append", default=[], metavar="FIELD", help="'Name: value', any number of times"
    )
    explain.add_argument(
        "--from", dest="client", default="127.0.0.1", metavar="ADDRESS", help="the client's address (127.0.0.1)"
    )
    for command in (check, convert, explain):
        command.add_argument(
            "file", metavar="FILE", help="ARM template, exported resource, its properties, or compact YAML"
        )
        for option in CONFIGURATION_OPTIONS:
            extra: dict[str, Any] = {"action": "append", "default": []} if option.repeated else {}
            command.add_argument(
                f"--{option.name}", dest=option.keyword, metavar=option.metavar, help=option.help, **extra
            )
        command.add_argument("--traceback", action="store_true", help="show more of a defect of the gateway itself")
    plugins = commands.add_parser("plugins", help="list the strategies that are installed, and their options")
    reload = commands.add_parser("reload", help="have a running gateway read its configuration again")
    reload.add_argument("admin", metavar="HOST:PORT", help="its admin port")
    for command in (check, explain, plugins):
        command.add_argument("--format", choices=("text", "json"), default="text", help="for people or for machines")
    check.add_argument("--strict", action="store_true", help="take warnings for errors")
    return parser


def _report(
    source: str, gateway: Gateway | None, errors: Sequence[Problem], warnings: Sequence[Problem],
    redact: Redactor | None = None,
) -> str:  # fmt: skip
    """Errors and warnings have no secrets; ``redact`` takes those of the model out, where there is one."""
    hide = (redact or Redactor()).text
    lines = []
    if errors:
        lines.append(str(ConfigurationError(errors, source)))
    if warnings:
        lines += [f"{_count(len(warnings), 'warning')}:"] + [f"  {problem}" for problem in warnings]
    if gateway is not None:
        if gateway.not_honoured:
            lines += ["accepted, but not honoured:"] + [f"  {hide(sentence)}" for sentence in gateway.not_honoured]
        verdict = "it would start, but serve nothing;" if any(each.severity == "idle" for each in warnings) else "ok,"
        lines.append(f"{source}: {verdict} {hide(repr(gateway.name))} would run:")
        lines += [f"  {hide(line)}" for line in summary(gateway)]
    return "\n".join(lines) + "\n"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def summary(gateway: Gateway) -> list[str]:
    """What a configuration would run, one line for each listener with its rule, and one for each pool."""
    rules = {rule.listener: rule for rule in gateway.rules}
    lines = [_listener_line(listener, rules.get(listener.name)) for listener in gateway.listeners]
    for pool in gateway.pools:
        members = []
        for member in pool.members:
            name = authority(member.host, member.port)
            if member.connect_host is not None:
                name += f" (at {authority(member.connect_host, member.connect_port)})"
            members.append(name)
        if pool.discovery is not None:
            members.append(f"what {pool.discovery.strategy} finds")
        lines.append(f"pool {pool.name}: {', '.join(members) or 'no members'}")
    return lines


def _listener_line(listener: HttpListener, rule: Rule | None) -> str:
    place = authority(listener.address or "*", listener.port)
    hosts = f" for {', '.join(listener.host_names)}" if listener.host_names else ""
    text = f"listener {listener.name}: {listener.protocol.lower()}://{place}{hosts}"
    if rule is None:
        return f"{text} -> nothing"
    kinds = (
        ("pool", rule.pool), ("distribution", rule.distribution), ("path map", rule.path_map),
        ("routing map", rule.routing_map), ("redirect", rule.redirect),
    )  # fmt: skip
    target = next((f"{word} {name}" for word, name in kinds if name), "nothing")
    return (
        f"{text} -> {target}" + (f" ({rule.settings})" if rule.pool and rule.settings else "") + f", rule {rule.name}"
    )


def _document(
    source: str, gateway: Gateway | None, errors: Sequence[Problem], warnings: Sequence[Problem], redact: Redactor
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "file": source,
        "ok": not errors,
        "errors": [_problem(problem) for problem in errors],
        "warnings": [_problem(problem) for problem in warnings],
    }
    if gateway is not None:
        document["notHonoured"] = redact.document(gateway.not_honoured)
        document["summary"] = redact.document(
            {
                "name": gateway.name,
                "listeners": config_report(gateway.listeners),
                "pools": config_report(gateway.pools),
                "rules": config_report(gateway.rules),
            }
        )
    return document


def _problem(problem: Problem) -> dict[str, Any]:
    return {"path": problem.path, "line": problem.line, "message": problem.message, "severity": problem.severity}
