"""The service: many streams watched for months, their results on disk, an API and a page.

fields.py, stream_options.py, config.py   one validated file
cursor.py, journal*.py, reading.py        results on disk before anybody hears of them
seconds.py                                and read again, however long a stream is
snapshots.py, snapshot_pace.py            where a stream goes on after a kill, and how often
retention.py                              what is forgotten
wall_grid.py, cameras.py, recordings.py   sources that come and go -> samples on one clock
prepared.py                               a camera that is opened before its stream is taken over
watched.py, feeding.py, frame_counts.py   one stream, and what its thread does
supervisor.py                             which streams there are
host.py, ledger.py                        who steps them, and what it must be told and must keep
local_host.py, running_streams.py         a device of this machine; into its engine and out of it
stepping.py, calls.py                     the thread that steps, and what others ask of it
writing.py, results.py, status.py         what becomes of results
hub.py, event_stream.py                   who is told: pages, `webhooks.py`, `mqtt.py`
attention.py, pictures.py, views.py       what the page wants to see; `summary.py`, `downloads.py`
latest_pictures.py, shared_answer.py      what many want to see is made once
schema*.py, guard.py, room.py, routes*.py the API, and whom it answers
openapi.py                                what programs are told of the API
metrics.py, logs.py, protocol.py, heap.py how it is run
app.py, server.py, single.py, ending.py   the process; `waiting.py`, while it cannot begin
view*.py, stills.py, page/                the same page over a finished recording
looped_camera.py                          a camera for trials and tests
"""
