def index():
    return "other, and without the conditional model: %s" % ("only_for_this_controller" not in globals())


def page():
    response.headers["Content-Type"] = "text/plain"
    response.status = 202
    return "accepted"
