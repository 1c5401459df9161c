"""WSGI and psycopg2 with nothing in between: what is left is the price of uWSGI, Python and PostgreSQL."""

import datetime
import json
import os

import psycopg2

connection = None


def query(statement, *values):
    global connection
    if connection is None:
        connection = psycopg2.connect(os.environ["DATABASE_URL"])
        connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()


def now():
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def iso(moment):
    return moment.isoformat(timespec="seconds") + "Z"


def date_time_only():
    return {"date_time": iso(now())}


def date_time():
    moment = now()
    (number,) = query("INSERT INTO date_time (date_time) VALUES (%s) RETURNING id", moment)
    return {"id": number, "date_time": iso(moment)}


def latest_date_time():
    number, moment = query("SELECT id, date_time FROM date_time ORDER BY id DESC LIMIT 1")
    return {"id": number, "date_time": iso(moment)}


ACTIONS = {"/date_time_only": date_time_only, "/date_time": date_time, "/latest_date_time": latest_date_time}


def application(environ, start_response):
    action = ACTIONS.get(environ["PATH_INFO"])
    if action is None:
        start_response("404 Not Found", [])
        return [b""]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(action()).encode()]
