"""An exhaustive model of how jobs are enqueued, claimed, run, ended, stopped and rescued,
with crashes at any step.

It says what sql/engine does, step by step, in plain Python: one step is what one transaction does,
or part of one between two moments at which others may act.
The search visits every state that a small world can reach.
"""
