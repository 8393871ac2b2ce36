"""What a machine can do: decoding, live streams, endurance. Ratios and limits, from one run.

speed.py     updates a second, beside torchvision's sliding window
updates.py   what those updates are
decode.py    samples a second of our reader, beside PyAV, OpenCV and torchcodec
live.py      how many live streams a device holds
limits.py    what binds: computing, memory or decoding; other devices by derivation
soak.py      simulated hours: does anything grow
machine.py   what is measured on
plots.py     the same as pictures
"""
