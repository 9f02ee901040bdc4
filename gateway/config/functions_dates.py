"""Dates, zones and addresses of the ARM expression language; registered in `functions.FUNCTIONS` when imported.

``utcNow()`` is always the same moment: a configuration must not change because it is read again.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.config.expressions import ExpressionError
from gateway.config.functions import Budget, function, integer, text
from gateway.config.tree import show

__all__: list[str] = []

_NOW = datetime(2000, 1, 1, tzinfo=UTC)
_DURATION = re.compile(
    r"(-)?P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,6})D)?"
    r"(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})S)?)?\Z"
)
_LAYOUTS = {
    "u": "%Y-%m-%d %H:%M:%SZ",
    "d": "%m/%d/%Y",
    "D": "%A, %d %B %Y",
    "s": "%Y-%m-%dT%H:%M:%S",
    "o": "%Y-%m-%dT%H:%M:%S.0000000Z",
    "O": "%Y-%m-%dT%H:%M:%S.0000000Z",
    "R": "%a, %d %b %Y %H:%M:%S GMT",
    "r": "%a, %d %b %Y %H:%M:%S GMT",
}
_PARTS = {
    "yyyy": "%Y", "yy": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "dddd": "%A", "ddd": "%a", "dd": "%d",
    "HH": "%H", "hh": "%I", "mm": "%M", "ss": "%S", "tt": "%p", "fff": "000",
}  # fmt: skip
_PART = re.compile("yyyy|yy|MMMM|MMM|MM|dddd|ddd|dd|HH|hh|mm|ss|tt|fff")


def _shown(moment: datetime, layout: Any, name: str) -> str:
    if layout is None:
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    pattern = _LAYOUTS.get(text(layout, name))
    if pattern is not None:
        return moment.strftime(pattern)
    return _PART.sub(lambda match: moment.strftime(_PARTS[match.group()]), str(layout)[:200])


def _moment(value: Any, name: str) -> datetime:
    words = text(value, name).strip()
    try:
        if re.fullmatch(r"\d{8}T\d{6}Z", words):
            return datetime.strptime(words, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        made = datetime.fromisoformat(words[:40].replace("Z", "+00:00"))
    except ValueError:
        raise ExpressionError(f"{name}() wants a date and time, found {show(value)}") from None
    return made if made.tzinfo is not None else made.replace(tzinfo=UTC)


@function("utcnow", 0, 1)
def _utc_now(budget: Budget, layout: Any = None) -> Any:
    return _NOW.strftime("%Y%m%dT%H%M%SZ") if layout is None else _shown(_NOW, layout, "utcNow")


@function("datetimeadd", 2, 3)
def _date_time_add(budget: Budget, base: Any, duration: Any, layout: Any = None) -> Any:
    match = _DURATION.match(text(duration, "dateTimeAdd"))
    if match is None:
        raise ExpressionError(f"dateTimeAdd() wants a duration such as P3D or -PT1H, found {show(duration)}")
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
    span = timedelta(days=years * 365 + months * 30 + weeks * 7 + days, hours=hours, minutes=minutes, seconds=seconds)
    try:
        return _shown(_moment(base, "dateTimeAdd") + (-span if match.group(1) else span), layout, "dateTimeAdd")
    except (OverflowError, ValueError):
        raise ExpressionError("dateTimeAdd(): the date is out of range") from None


@function("datetimefromepoch", 1)
def _date_time_from_epoch(budget: Budget, seconds: Any) -> Any:
    try:
        return _shown(datetime.fromtimestamp(integer(seconds, "dateTimeFromEpoch"), UTC), None, "")
    except (OverflowError, ValueError, OSError):
        raise ExpressionError("dateTimeFromEpoch(): the date is out of range") from None


@function("datetimetoepoch", 1)
def _date_time_to_epoch(budget: Budget, value: Any) -> Any:
    return int(_moment(value, "dateTimeToEpoch").timestamp())
