# What is done in the background: web2py's scheduler runs it on one instance of the fleet.
import hashlib
import time

from gluon.scheduler import Scheduler
from instance import NAME


def read(paper, seconds=0):
    """Read all of a paper's content, slowly, and keep its hash; the task's result is who has done it."""
    time.sleep(seconds)
    _name, content = db.paper.content.retrieve(db.paper(paper).content)
    with content:
        db.reading.insert(paper=paper, sha256=hashlib.file_digest(content, "sha256").hexdigest(), instance=NAME)
    db.commit()
    return NAME


scheduler = Scheduler(db, dict(read=read), heartbeat=1)
