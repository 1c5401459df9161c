"""CloudWatch's metric math, as far as alarms need it: arithmetic, comparisons and the functions below.

An expression is evaluated over the same periods for all its metrics. A period without data is None; an operator gives
None where one of its sides is, a function over several series leaves it out.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moto.cloudwatch.models import Dimension, Metric, MetricDataQuery, MetricStat

Series = list[float | None]
Value = float | Series | list[Series]


class MetricMathError(ValueError):
    """An expression that is none, or one that is not evaluated here."""


_OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Gt: lambda a, b: float(a > b),
    ast.GtE: lambda a, b: float(a >= b),
    ast.Lt: lambda a, b: float(a < b),
    ast.LtE: lambda a, b: float(a <= b),
    ast.Eq: lambda a, b: float(a == b),
    ast.NotEq: lambda a, b: float(a != b),
    ast.And: lambda a, b: float(bool(a) and bool(b)),
    ast.Or: lambda a, b: float(bool(a) or bool(b)),
}
_EACH: dict[str, Callable[[float], float]] = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}
_AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "AVG": lambda values: math.fsum(values) / len(values),
    "MAX": max,
    "MIN": min,
    "SUM": math.fsum,
}


def parse(expression: str) -> ast.expr:
    """The expression's tree. Raises MetricMathError with what is wrong."""
    # Its syntax is Python's but for these two operators.
    text = expression.replace("&&", " and ").replace("||", " or ").strip()
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise MetricMathError(f"Error in expression: {expression}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", "?")
            if name not in ("FILL", "IF", "METRICS", *_EACH, *_AGGREGATES):
                raise MetricMathError(f"The local cloud does not evaluate the function {name} of metric math")
    return tree


def evaluate(tree: ast.expr, series: Mapping[str, Series], count: int) -> Series:
    """The expression's values over `count` periods; `series` are the values of the ids that it may name."""
    value = _value(tree, series)
    if isinstance(value, float):
        return [value] * count
    if value and isinstance(value[0], list):
        raise MetricMathError("the expression gives several series; an alarm needs one")
    return value  # type: ignore[return-value]


def names_of(tree: ast.expr) -> set[str]:
    """The ids that an expression names."""
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions} - {"REPEAT"}


def _value(node: ast.AST, series: Mapping[str, Series]) -> Value:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        if node.id not in series:
            raise MetricMathError(f"Unknown id in expression: {node.id}")
        return series[node.id]
    if isinstance(node, ast.List):
        return [_as_series(_value(item, series)) for item in node.elts]
    if isinstance(node, ast.UnaryOp):
        signs: dict[type[ast.AST], Callable[[float], float]] = {
            ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: lambda a: float(not a)
        }  # fmt: skip
        return _each(signs[type(node.op)], _value(node.operand, series))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _combine(_OPERATORS[type(node.op)], _value(node.left, series), _value(node.right, series))
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _combine(_OPERATORS[type(node.ops[0])], _value(node.left, series), _value(node.comparators[0], series))
    if isinstance(node, ast.BoolOp):
        result = _value(node.values[0], series)
        for item in node.values[1:]:
            result = _combine(_OPERATORS[type(node.op)], result, _value(item, series))
        return result
    if isinstance(node, ast.Call):
        return _call(node, series)
    raise MetricMathError(f"Error in expression: {ast.unparse(node)}")


def _call(node: ast.Call, series: Mapping[str, Series]) -> Value:
    name = node.func.id  # type: ignore[attr-defined]
    if name == "METRICS":
        part = str(getattr(node.args[0], "value", "")) if node.args else ""
        return [values for key, values in series.items() if part in key]
    if name == "FILL":
        return _fill(node, series)
    arguments = [_value(argument, series) for argument in node.args]
    if name in _EACH:
        return _each(_EACH[name], arguments[0])
    if name == "IF":
        return _choose(arguments)
    values = arguments[0]
    if isinstance(values, float):
        return values
    if values and isinstance(values[0], list):  # several series: one value for each period
        rows = [[value for value in row if value is not None] for row in zip(*values, strict=True)]
        return [_AGGREGATES[name](row) if row else None for row in rows]
    present = [value for value in values if isinstance(value, float | int)]
    if not present:
        return _as_series(values)
    return _AGGREGATES[name](present)


def _fill(node: ast.Call, series: Mapping[str, Series]) -> Value:
    values = _as_series(_value(node.args[0], series))
    if getattr(node.args[1], "id", "") == "REPEAT":
        filled: Series = []
        for value in values:
            filled.append(value if value is not None or not filled else filled[-1])
        return filled
    filling = _value(node.args[1], series)
    others = [filling] * len(values) if isinstance(filling, float) else _as_series(filling)
    return [other if value is None else value for value, other in zip(values, others, strict=True)]


def _choose(arguments: list[Value]) -> Value:
    condition, yes = arguments[0], arguments[1]
    no: Value | None = arguments[2] if len(arguments) > 2 else None
    if isinstance(condition, float) and all(isinstance(value, float) for value in (yes, no)):
        return yes if condition else no  # type: ignore[return-value]
    lengths = [len(value) for value in arguments if isinstance(value, list)]

    def at(value: Value | None, index: int) -> float | None:
        return value[index] if isinstance(value, list) else value  # type: ignore[return-value]

    result: Series = []
    for index in range(lengths[0]):
        decided = at(condition, index)
        result.append(None if decided is None else at(yes if decided else no, index))
    return result


def _each(function: Callable[[float], float], value: Value) -> Value:
    if isinstance(value, float):
        return float(function(value))
    return [None if item is None else float(function(item)) for item in _as_series(value)]


def _combine(function: Callable[[float, float], float], left: Value, right: Value) -> Value:
    def apply(a: float | None, b: float | None) -> float | None:
        if a is None or b is None:
            return None
        try:
            return float(function(a, b))
        except (ZeroDivisionError, OverflowError):
            return None

    if isinstance(left, float) and isinstance(right, float):
        result = apply(left, right)
        if result is None:
            raise MetricMathError("division by zero")
        return result
    length = max(len(value) for value in (left, right) if isinstance(value, list))
    sides = [[value] * length if isinstance(value, float) else _as_series(value) for value in (left, right)]
    return [apply(a, b) for a, b in zip(*sides, strict=True)]


def _as_series(value: Value) -> Series:
    if isinstance(value, float) or (value and isinstance(value[0], list)):
        raise MetricMathError("a single series is needed")
    return value  # type: ignore[return-value]


# -- queries of alarms and of target tracking -------------------------------------------------------------------------


def queries_of(metrics: Sequence[Mapping[str, Any]], period: int) -> list[MetricDataQuery]:
    """A request's metric data queries as moto keeps those of an alarm; `period` (seconds) where none is given."""
    queries = []
    for given in metrics:
        stat = given.get("MetricStat")
        described = None
        if stat:
            metric = stat["Metric"]
            dimensions = [Dimension(item["Name"], item["Value"]) for item in metric.get("Dimensions") or []]
            described = MetricStat(
                Metric(metric["MetricName"], metric["Namespace"], dimensions),
                str(stat.get("Period") or period),
                stat["Stat"],
                stat.get("Unit"),
            )
        queries.append(
            MetricDataQuery(
                given["Id"],
                given.get("Label") or "",
                given.get("Period") or "",
                given.get("ReturnData", True),
                given.get("Expression"),
                described,
            )
        )
    return queries


def check_queries(queries: Sequence[MetricDataQuery]) -> None:
    """Raises MetricMathError for queries that an alarm can't be evaluated from."""
    returned = [query for query in queries if str(query.return_data).lower() != "false"]
    if len(returned) != 1:
        raise MetricMathError("Exactly one element of the metrics list should return data")
    ids = {query.id for query in queries}
    for query in queries:
        if not re.fullmatch(r"[a-z][a-zA-Z0-9_]*", query.id):
            raise MetricMathError(f"The id {query.id} must begin with a lower case letter")
        if query.expression:
            unknown = names_of(parse(query.expression)) - ids
            if unknown:
                raise MetricMathError(f"Unknown id in expression: {', '.join(sorted(unknown))}")
        elif query.metric_stat is None:
            raise MetricMathError(f"The query {query.id} has neither MetricStat nor Expression")


def period_of(queries: Sequence[MetricDataQuery]) -> int:
    """The period of an alarm on metric math: the longest of its metrics, in seconds."""
    periods = [int(query.metric_stat.period) for query in queries if query.metric_stat is not None]
    periods += [int(query.period) for query in queries if query.period]
    return max(periods, default=60)


def evaluate_queries(
    queries: Sequence[MetricDataQuery], measured: Mapping[str, Series], count: int, wanted: str | None = None
) -> Series:
    """The values of the query `wanted`, or of the one that returns data.

    `measured` are those of the queries that name a metric.
    """
    known = dict(measured)
    waiting = [query for query in queries if query.expression]
    while waiting:
        ready = [query for query in waiting if names_of(parse(str(query.expression))) <= set(known)]
        if not ready:
            raise MetricMathError("the expressions depend on each other in a circle")
        for query in ready:
            tree = parse(str(query.expression))
            # METRICS() means those that were measured, not what other expressions made of them.
            scope = {name: known[name] for name in known if name in measured or name in names_of(tree)}
            known[query.id] = evaluate(tree, scope, count)
            waiting.remove(query)
    return known[wanted or next(query.id for query in queries if str(query.return_data).lower() != "false")]
