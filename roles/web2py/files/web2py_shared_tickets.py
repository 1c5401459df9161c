"""Tickets of errors in the application's database: an instance that had one may be gone when somebody looks.

They are JSON, to be read with any tool for the database and with web2py_tickets.py. They hold what web2py's tickets do,
the address of the request and the host. (Of variables web2py finds nothing where Python is 3.13 or later.)
"""

import json
import socket
import time

import web2py_shared_database
from gluon.restricted import TicketStorage
from psycopg2 import sql

# What web2py calls the table, with the application's name behind it.
TABLE = "web2py_ticket_"
# Tickets of one process in the database within so many seconds, as each request may be an error. The others are files,
# as they are where the database is away.
MOST = 10
SECONDS = 60
# Characters; a longer ticket is kept without the values of its variables.
LARGEST = 250_000


def keep_in_database(application, database):
    """Tickets of the application are rows of the table that web2py has for them."""
    store = TicketStorage.store
    statement = sql.SQL("INSERT INTO {} (ticket_id, ticket_data, created_datetime) VALUES (%s, %s, %s)").format(
        sql.Identifier(TABLE + application)
    )
    recent = []

    def store_in_database(self, request, ticket_id, ticket_data):
        now = time.monotonic()
        recent[:] = [moment for moment in recent if moment > now - SECONDS]
        # An application that has named a database for its tickets keeps it.
        if not self.db and request.application == application and len(recent) < MOST:
            try:
                database.execute(statement, [ticket_id, _text(request, ticket_data), request.now])
                recent.append(now)
                return
            except web2py_shared_database.UnavailableError:
                pass
        store(self, request, ticket_id, ticket_data)

    TicketStorage.store = store_in_database


def _text(request, ticket):
    ticket = {
        **ticket,
        "request": f"{request.env.request_method} {request.env.web2py_original_uri}",
        "host": socket.gethostname(),
    }
    text = json.dumps(ticket, default=str)
    return text if len(text) <= LARGEST else json.dumps({**ticket, "snapshot": {}, "code": ""}, default=str)
