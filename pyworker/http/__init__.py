"""HTTP beside the supervisor: probes, figures and read-only views, in a thread of its own.

Nothing here holds a truth of its own, and the loop waits for none of it: what is shown is read from
public views, through a connection of its own as the supervisor's login.
"""
