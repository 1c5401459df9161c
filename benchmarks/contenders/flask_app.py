"""The same in Flask, with a connection per process and a commit per statement, as in bare.py."""

from bare import date_time, date_time_only, latest_date_time
from flask import Flask, jsonify

application = Flask(__name__)


@application.get("/date_time_only")
def only():
    return jsonify(date_time_only())


@application.get("/date_time")
def insert():
    return jsonify(date_time())


@application.get("/latest_date_time")
def latest():
    return jsonify(latest_date_time())
