"""The rule of a composite alarm: ALARM(name), OK(name) and INSUFFICIENT_DATA(name) with AND, OR, NOT, TRUE, FALSE.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"(?P<quoted>[^"]+)"|'(?P<single>[^']+)'|(?P<plain>[^()"']+?))\s*\)
      | (?P<word>AND|OR|NOT|TRUE|FALSE)\b
      | (?P<bracket>[()])
    )""",
    re.VERBOSE,
)

# Asks for an alarm's state by its name or ARN.
StateLookUp = Callable[[str], str]


class RuleError(ValueError):
    """A rule that can't be read."""


@dataclass(frozen=True)
class Rule:
    """A rule that was read: `holds` for given states, and the alarms that it names."""

    holds: Callable[[StateLookUp], bool]
    alarms: frozenset[str] = frozenset()


def parse_rule(text: str) -> Rule:
    """Read a rule. Raises RuleError."""
    tokens = _tokens(text)
    rule = _any_of(tokens)
    if tokens:
        raise RuleError(f"AlarmRule was not valid: unexpected {tokens[0][1]}")
    return rule


def alarm_name(reference: str) -> str:
    """The name of an alarm that a rule refers to by its name or ARN."""
    return reference.split(":alarm:", 1)[1] if reference.startswith("arn:") else reference


def _tokens(text: str) -> list[tuple[str, str, str]]:
    """(kind, text, alarm) for each token."""
    tokens = []
    position = 0
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise RuleError(f"AlarmRule was not valid: {text[position : position + 30]}")
        position = match.end()
        if match["state"]:
            name = match["quoted"] or match["single"] or match["plain"]
            tokens.append(("state", match["state"], alarm_name(name.strip())))
        else:
            tokens.append(("word", match["word"] or match["bracket"], ""))
    return tokens


def _any_of(tokens: list[tuple[str, str, str]]) -> Rule:
    rule = _all_of(tokens)
    while tokens and tokens[0][1] == "OR":
        tokens.pop(0)
        rule = _either(rule, _all_of(tokens))
    return rule


def _all_of(tokens: list[tuple[str, str, str]]) -> Rule:
    rule = _single(tokens)
    while tokens and tokens[0][1] == "AND":
        tokens.pop(0)
        rule = _both(rule, _single(tokens))
    return rule


def _either(a: Rule, b: Rule) -> Rule:
    return Rule(lambda states: a.holds(states) or b.holds(states), a.alarms | b.alarms)


def _both(a: Rule, b: Rule) -> Rule:
    return Rule(lambda states: a.holds(states) and b.holds(states), a.alarms | b.alarms)


def _single(tokens: list[tuple[str, str, str]]) -> Rule:
    if not tokens:
        raise RuleError("AlarmRule was not valid: it ends too early")
    kind, word, alarm = tokens.pop(0)
    if kind == "state":
        return Rule(lambda states: states(alarm) == word, frozenset([alarm]))
    if word in ("TRUE", "FALSE"):
        return Rule(lambda _states: word == "TRUE")
    if word == "NOT":
        rule = _single(tokens)
        return Rule(lambda states: not rule.holds(states), rule.alarms)
    if word == "(":
        rule = _any_of(tokens)
        if not tokens or tokens.pop(0)[1] != ")":
            raise RuleError("AlarmRule was not valid: a bracket is not closed")
        return rule
    raise RuleError(f"AlarmRule was not valid: unexpected {word}")
