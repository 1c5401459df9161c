"""Cron expressions, as scheduled actions use them: five fields of `*`, numbers, lists, ranges, steps and names."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr)}
WEEKDAYS = {name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_abbr)}
LONGEST_GAP = 8 * 366  # days; the 29th of February comes again after at most eight years


class CronError(ValueError):
    """An expression that can't be read."""


@dataclass(frozen=True)
class Schedule:
    """When something happens; a day must match its month and, when both are restricted, day or weekday."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # Sunday is 0
    any_day: bool
    any_weekday: bool

    @classmethod
    def parse(cls, expression: str) -> Schedule:
        """Raises CronError."""
        fields = expression.split()
        if len(fields) != 5:
            raise CronError(f"{expression!r} has not five fields")
        minutes, hours, days, months, weekdays = fields
        return cls(
            minutes=_field(minutes, 0, 59),
            hours=_field(hours, 0, 23),
            days=_field(days, 1, 31),
            months=_field(months, 1, 12, MONTHS),
            weekdays=frozenset(day % 7 for day in _field(weekdays, 0, 7, WEEKDAYS)),
            any_day=days.startswith("*"),
            any_weekday=weekdays.startswith("*"),
        )

    def next_after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first time after `moment` (with a time zone), read on a clock of `zone`; None when there is none."""
        local = moment.astimezone(zone)
        day = local.date()
        for _ in range(LONGEST_GAP):
            if self._is_day(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        candidate = datetime.combine(day, time(hour, minute), zone)
                        if candidate > local:
                            return candidate
            day += timedelta(days=1)
        return None

    def _is_day(self, day: date) -> bool:
        in_days, in_weekdays = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if day.month not in self.months:
            return False
        if self.any_day or self.any_weekday:
            return in_days and in_weekdays
        return in_days or in_weekdays


def _field(text: str, least: int, greatest: int, names: dict[str, int] | None = None) -> frozenset[int]:
    values: set[int] = set()
    for part in text.lower().split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin = least if span == "*" else _number(first, names)
        end = _number(last, names) if last else begin
        if span == "*" or (step and not last):
            end = greatest
        if not least <= begin <= end <= greatest or (step and not step.isdigit()) or step == "0":
            raise CronError(f"{part!r} is not between {least} and {greatest}")
        values.update(range(begin, end + 1, int(step or 1)))
    return frozenset(values)


def _number(text: str, names: dict[str, int] | None) -> int:
    if names and text in names:
        return names[text]
    if not text.isdigit():
        raise CronError(f"{text!r} is not a number")
    return int(text)
