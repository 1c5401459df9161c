# As in web2py's book.
import socket

from gluon.scheduler import Scheduler


def tick():
    db.tick.insert(host=socket.gethostbyname(socket.gethostname()), asked_as=request.env.http_host)
    db.commit()


scheduler = Scheduler(db, dict(tick=tick), heartbeat=1)
