"""web2py's successor, py4web, with its own DAL: py4web_apps/_default."""

import os

from py4web.core import wsgi

application = wsgi(apps_folder=os.path.join(os.path.dirname(__file__), "py4web_apps"), dashboard_mode="none")
