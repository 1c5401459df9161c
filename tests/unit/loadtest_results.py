"""A result as a run writes it, with something of everything: a stall, failures, alarms, a deploy, growing instances."""

import random

from loadtest import measurements, verdict
from loadtest.measurements import Answer


def answers(seconds=120, rate=50, seed=1):
    """Answers at a constant rate, with a stall of 3 s at a third of the time and failures at two thirds."""
    draw = random.Random(seed)
    found = []
    for number in range(seconds * rate):
        due = number / rate
        latency = draw.lognormvariate(2.3, 0.4)
        if seconds / 3 <= due < seconds / 3 + 3:
            latency += (seconds / 3 + 3 - due) * 1000
        failed = seconds * 2 / 3 <= due < seconds * 2 / 3 + 1 and number % 4 == 0
        outcome = "503" if failed else "200"
        found.append(Answer(due, latency, outcome, ("/date_time_only", "/date_time")[number % 2], 0.4))
    return found


def result(seconds=120, **changes):
    """The result; `changes` replace parts of it."""
    measured = answers(seconds)
    parts = [part.figures() for part in measurements.parts_by_path(measured, seconds)]
    total = measurements.part("all requests", measured, seconds).figures()
    lines = verdict.judge(parts, total, {"mean_ms": 400, "success_percent": 99.99, "rate": 50}, "slo", 50)
    lines += verdict.judge(parts, total, {"mean_ms": 25, "max_ms": 400}, "goal", 50)
    return {
        "scenario": "sustained",
        "description": "A constant rate <b>&amp;</b> something to escape",
        "tool": "open_loop",
        "environment": "local",
        "url": "http://web2py-local.example",
        "started_at": "2026-11-20T10:00:00+00:00",
        "duration": float(seconds),
        "interrupted": False,
        "exit_code": verdict.exit_code(lines, interrupted=False),
        "verdict": [
            {**vars(line), "text": line.text, "unit": line.unit, "comparison": line.comparison} for line in lines
        ],
        "total": total,
        "parts": parts,
        "timeline": measurements.timeline(measured, seconds),
        "histogram": measurements.histogram(answer.latency for answer in measured),
        "outages": measurements.outages(measured),
        "samples": [
            {
                "at": float(at),
                "minimum": 1,
                "desired": 1 if at < seconds / 3 else 11,
                "in_service": 1 if at < seconds / 2 else 11,
                "healthy": 1 if at < seconds / 2 + 4 else 10,
                "unhealthy": 0,
            }
            for at in range(0, seconds, 2)
        ],
        "cpu": [{"at": float(at), "percent": 30.0 + at % 60} for at in range(0, seconds, 10)],
        "marks": [
            {"at": seconds / 3, "kind": "alarm", "text": "web2py-local-cpu-high: ALARM"},
            {"at": seconds / 3 + 1, "kind": "scaling", "text": "Launching a new EC2 instance: i-1"},
            {"at": seconds / 2, "kind": "deploy", "text": "instance refresh begun"},
            {"at": seconds * 2 / 3, "kind": "action", "text": "database web2py-local restarts"},
        ],
        "notes": ["99 % of the requests left at most 0.4 ms late, which is part of their latency"],
    } | changes
