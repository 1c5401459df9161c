"""moto's server as it is. Prints its port."""

from __future__ import annotations

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

api = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, api, threaded=True, request_handler=MotoRequestHandler)
print(server.server_port, flush=True)
server.serve_forever()
