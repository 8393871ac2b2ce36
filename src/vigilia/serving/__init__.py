"""The service: many streams watched for months, their results on disk, an API and a page.

fields.py, stream_options.py, config.py   one validated file
cursor.py, journal.py, reading.py         results on disk before anybody hears of them
snapshots.py                              where a stream goes on after a kill
wall_grid.py, cameras.py, recordings.py   sources that come and go -> samples on one clock
watched.py, feeding.py                    one stream, and what its thread does
results.py, supervisor.py                 the thread that steps; streams started and stopped
hub.py, event_stream.py                   who is told: pages, `webhooks.py`, `mqtt.py`
attention.py, pictures.py, views.py       what the page wants to see
schema.py, guard.py, room.py, routes.py   the API, and whom it answers
metrics.py, logs.py, protocol.py          how it is run
app.py, server.py, single.py              the process
view*.py, stills.py, page/                the same page over a finished recording
"""
