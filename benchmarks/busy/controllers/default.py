import time


def index():
    return "busy"


def work():
    """Take so many milliseconds of CPU time: /work/1.5."""
    end = time.process_time() + float(request.args(0)) / 1000
    while time.process_time() < end:
        pass
    return "done"
