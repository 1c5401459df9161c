def index():
    return "ok"


def queue():
    return str(scheduler.queue_task("tick", period=1, repeats=0)["id"])
