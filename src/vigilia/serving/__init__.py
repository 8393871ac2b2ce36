"""The service: many streams watched for months, their results on disk, an API and a page.

config.py       one validated file
journal.py      results on disk before anybody hears of them
snapshots.py    where a stream goes on after a kill
cameras.py      sources that come and go -> samples on one clock
supervisor.py   streams started, stepped, stopped
app.py          the API
"""
