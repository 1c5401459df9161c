"""Progress: at a terminal, in a log, and through Ansible, which shows nothing before its end."""

import io
import os
import subprocess
import sys

from loadtest.progress import Playbook, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        return 0


def test_a_log_gets_a_line_now_and_then():
    stream, now = io.StringIO(), [0.0]
    progress = Progress(stream, clock=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        progress.update(f"at {second}")
    progress.say("done")
    assert stream.getvalue() == "at 0\nat 10\nat 20\ndone\n"


def test_a_terminal_gets_one_line_that_changes():
    stream = Terminal()
    progress = Progress(stream)
    progress.update("one")
    progress.update("two")
    progress.say("done")
    assert stream.getvalue().endswith("\r\x1b[Ktwo\ndone\n")


def test_a_reader_who_is_gone_ends_nothing():
    class Gone(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError

    progress = Progress(Gone())
    progress.say("one")
    progress.say("two")


def test_the_playbook_that_started_us_is_found_and_shows_our_progress(tmp_path):
    """ansible-playbook runs us as a grandchild whose output it keeps for itself."""
    file = tmp_path / "ansible-playbook"
    inner = (
        "from loadtest.progress import Playbook, Progress; "
        "found = Playbook.find(); Progress(found.stream()).say('shown'); print(found.pid, found.ended())"
    )
    file.write_text(
        "import subprocess, sys\n"
        f"command = ['/bin/sh', '-c', '{sys.executable} -c \"$0\"; true', {inner!r}]\n"
        "done = subprocess.run(command, capture_output=True)\n"
        "sys.stdout.write(done.stdout.decode())\n"
    )
    process = subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said, shown = process.communicate(timeout=60)
    assert said.split() == [str(process.pid), "False"]
    assert shown == "shown\n"
    assert Playbook(process.pid).ended()


def test_the_playbooks_file_is_left_to_it(tmp_path):
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(["sleep", "60"], stderr=log)
        try:
            assert Playbook(process.pid).stream() is sys.stderr
        finally:
            process.kill()
            process.wait()


def test_without_a_playbook_progress_is_on_stderr_and_nothing_ends():
    assert Playbook(None).stream() is sys.stderr
    assert not Playbook(None).ended()
    assert not Playbook(os.getpid()).ended()
