"""List the newest tickets of an application's errors in its database, or show one.

web2py-tickets --web2py=/opt/web2py                     the newest 20: when, where, which request, which error
web2py-tickets --web2py=/opt/web2py --last=100
web2py-tickets --web2py=/opt/web2py --ticket=ID         the traceback; ID is what the visitor was shown, or its end
"""

import argparse
import json
import os
import sys

# Seconds; each ticket may have a quarter of a megabyte.
LONGEST = 60
PATIENT = f"SET LOCAL statement_timeout = '{LONGEST}s'; "
LIST = "SELECT ticket_id, created_datetime, ticket_data FROM {} ORDER BY id DESC LIMIT %s"
# A visitor's page has the application's name before it.
SHOW = "SELECT ticket_id, created_datetime, ticket_data FROM {} WHERE ticket_id = %s OR right(ticket_id, %s) = %s"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--web2py", required=True, help="directory of web2py")
    parser.add_argument("--last", type=int, default=20)
    parser.add_argument("--ticket", default="")
    options = parser.parse_args()
    # web2py finds itself by the working directory.
    os.chdir(options.web2py)
    sys.path.insert(0, options.web2py)
    import web2py_shared
    import web2py_shared_database
    import web2py_shared_tickets
    from psycopg2 import sql

    shared = web2py_shared.Shared()
    ticket = options.ticket.rpartition("/")[2]
    arguments = [ticket, len(ticket), ticket] if ticket else [options.last]
    statement = sql.SQL(SHOW if ticket else LIST).format(
        sql.Identifier(web2py_shared_tickets.TABLE + shared.application)
    )
    try:
        rows = shared.database.execute(sql.SQL(PATIENT) + statement, arguments, LONGEST)
    except web2py_shared_database.UnavailableError as error:
        raise SystemExit(f"the database does not answer: {error}") from None
    for number, moment, text in rows:
        try:
            print((show if ticket else line)(number, moment, json.loads(text)))
        except (ValueError, KeyError):
            print(f"{moment:%Y-%m-%d %H:%M:%S}  {number} was written by the application itself, in a form of its own")
    if not rows:
        print(f"There is no ticket {ticket}" if ticket else "There are no tickets")


def line(number, moment, data):
    return (
        f"{moment:%Y-%m-%d %H:%M:%S}  {data['host']}  {data['request']}\n    {error(data['traceback'])}\n    {number}"
    )


def error(traceback):
    """The first line of what the exception says, which comes after the last place in the code."""
    said = traceback.rpartition('\n  File "')[2].splitlines()[1:]
    return next((line for line in said if line and not line[0].isspace()), "unknown")


def show(number, moment, data):
    head = f"{number}\n{moment:%Y-%m-%d %H:%M:%S} on {data['host']}\n{data['request']}"
    return f"{head}\n{data['layer']}\n\n{data['traceback']}"


if __name__ == "__main__":
    main()
