"""The service: many streams watched for months, their results on disk, an API and a page.

fields.py, stream_options.py, config.py   one validated file
cursor.py, journal*.py, reading.py        results on disk before anybody hears of them
snapshots.py, retention.py                where a stream goes on after a kill; what is forgotten
wall_grid.py, cameras.py, recordings.py   sources that come and go -> samples on one clock
watched.py, feeding.py                    one stream, and what its thread does
running_streams.py, supervisor.py         streams into the engine and out of it; which there are
stepping.py, results.py, status.py        the thread that steps, and what becomes of its results
hub.py, event_stream.py                   who is told: pages, `webhooks.py`, `mqtt.py`
attention.py, pictures.py, views.py       what the page wants to see; `summary.py`, `downloads.py`
schema*.py, guard.py, room.py, routes*.py the API, and whom it answers
metrics.py, logs.py, protocol.py          how it is run
app.py, server.py, single.py, ending.py   the process
view*.py, stills.py, page/                the same page over a finished recording
looped_camera.py                          a camera for trials and tests
"""
