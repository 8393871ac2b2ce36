"""What pre-training brings on real clips: a linear probe, and learning from few labels.

material.py   three sets of real recordings, in groups that are held out whole
measuring.py  one backbone with one start: probe and fine-tuning, tested on held-out groups
run.py        all of it, one file a cell, going on where it was
report.py     the table
"""
