def date_time_only():
    return response.json({"date_time": request.utcnow.isoformat(timespec="seconds") + "Z"})


def date_time():
    number = db.date_time.insert(date_time=request.utcnow)
    return response.json({"id": number, "date_time": request.utcnow.isoformat(timespec="seconds") + "Z"})


def latest_date_time():
    row = db(db.date_time).select(orderby=~db.date_time.id, limitby=(0, 1)).first()
    return response.json({"id": row.id, "date_time": row.date_time.isoformat(timespec="seconds") + "Z"})
