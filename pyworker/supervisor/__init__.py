"""The supervisor: a thin daemon. The truth is in the database; this only launches, ticks, signals
and logs.
"""
