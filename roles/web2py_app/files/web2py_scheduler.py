#!/usr/bin/env python3
"""Run the tasks of the application's gluon.scheduler on this host, if it is this host's turn.

    web2py-scheduler --web2py=/opt/web2py

An application without a scheduler, and a builder host, have nothing to run: that is a success, and systemd leaves it
at that. With "scheduler": "one" in web2py_shared.json, one host of the fleet has the turn, for as long as its
connection to the database holds a lock; the others wait for it. Who loses the turn ends its worker, and systemd starts
it again.
"""

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

# Any fixed number does; it names the lock among the database's advisory locks. web2py_shared.py has another.
SCHEDULING = 0x7765623270797A

PAUSE = 2  # seconds between two looks whether it is this host's turn
PATIENCE = 60  # seconds that a worker gets to finish the task that it works on

WORK = """
import signal
from gluon.globals import current

scheduler = current._scheduler
# To SIGTERM web2py's worker fails its task for good.
signal.signal(signal.SIGUSR1, lambda *_: scheduler.give_up())
scheduler.loop()
"""

# Which host is a builder (playbooks/hosts.yml), and which host this is: a copy of a builder's disk is another one.
BUILDER = Path("/etc/web2py-builder")
THIS_HOST = Path("/var/lib/cloud/data/instance-id")

SCHEDULER = re.compile(r"^[^#\n]*\bScheduler\s*\(", re.MULTILINE)


def has_scheduler(models):
    return any(SCHEDULER.search(path.read_text(errors="replace")) for path in models.rglob("*.py"))


def is_builder():
    return BUILDER.exists() and THIS_HOST.exists() and BUILDER.read_text().strip() == THIS_HOST.read_text().strip()


def has_turn(database):
    """Whether this process holds the lock. The server is asked: a connection that is only believed in holds nothing."""
    import web2py_shared_database

    try:
        leads = database.lead(SCHEDULING)
        if leads:
            database.execute("SELECT 1")
        else:
            database.close()  # one that waits needs none
        return leads and database.lead(SCHEDULING)
    except web2py_shared_database.UnavailableError:
        return False


def work(shared):
    """web2py's own worker, as `web2py.py -K` starts it."""
    import gluon.main  # noqa: F401 -- sets web2py up
    from gluon.shell import run

    shared.apply()  # uploads are where visitors' are
    shared.be_asked_by_name()
    run(shared.application, plain=True, import_models=True, python_code=WORK, scheduler_job=True)


def end(worker):
    """Let it finish its task. One that is killed instead has its task done again, by the next worker."""
    worker.send_signal(signal.SIGUSR1)
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.wait(PATIENCE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)  # its tasks, too
    worker.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--web2py", required=True, type=Path, help="directory of web2py")
    parser.add_argument("--work", action="store_true", help="be the worker, whoever's turn it is")
    options = parser.parse_args()
    # web2py finds itself by the working directory.
    os.chdir(options.web2py)
    sys.path.insert(0, str(options.web2py))
    import web2py_shared

    shared = web2py_shared.Shared()
    if options.work:
        work(shared)
        return 1  # a worker goes on for ever
    if is_builder() or not has_scheduler(Path("applications", shared.application, "models")):
        print("nothing to run on this host", flush=True)
        return 0
    one = shared.settings.get("scheduler") != "all"
    while one and not has_turn(shared.database):
        time.sleep(PAUSE)
    print("this host runs the scheduler", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    worker = subprocess.Popen(
        [sys.executable, __file__, f"--web2py={options.web2py}", "--work"], start_new_session=True
    )
    try:
        while worker.poll() is None and (not one or has_turn(shared.database)):
            time.sleep(PAUSE)
    finally:
        end(worker)
    print("the worker has ended" if worker.returncode >= 0 else "it is another host's turn", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
