"""What an application does with its session."""


def index():
    return str(session.kept)


def keep():
    session.kept = request.args(0)
    return index()


def keep_much():
    session.kept = "".join(map(chr, range(0x100, 0x100 + int(request.args(0)))))
    return str(len(session.kept))


def keep_and_fail():
    session.kept = request.args(0)
    raise ValueError("as if nothing had happened")


def renew():
    session.renew()
    return index()


def renew_and_fail():
    session.renew()
    raise ValueError("as if nothing had happened")


def renew_and_clear():
    session.renew(clear_session=True)
    return index()


def forget():
    session.forget(response)
    session.kept = "forgotten"
    return index()


def nothing():
    return "nothing"


def fails():
    return 1 / 0
