"""The permanence benchmark: which digit is behind the curtain, and where is it by now?

digits.py       the things that are hidden
scenes.py       they move, a curtain comes, a camera sees it as events
baselines.py    ordinary networks that take part
contenders.py   who takes part, and who must fail
exam.py         what is asked, and how answers are graded
scores.py       shares with their intervals
run.py          everything, one file a result
energy.py       what the spiking model spends, bin by bin
report.py       tables, a page, a plot
"""
