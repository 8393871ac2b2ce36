"""The family benchmark: backbones of every branch, each without memory and with FAM.

entrants.py   who takes part, and the memory made to fit each
seeing.py     streams as any backbone sees them, also one that carries a past of its own
learning.py   memory and head learn behind a frozen backbone, as in the memory benchmark
pushups.py    real clips, learned from pixels
run.py        all of it, one file a cell, going on where it was
report.py     a table, and accuracy against cost
"""
