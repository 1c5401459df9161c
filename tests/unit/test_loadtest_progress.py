"""Progress: at a terminal, and in a log."""

import io

from loadtest.progress import Progress


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
