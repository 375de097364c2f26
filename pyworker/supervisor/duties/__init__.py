"""What a supervisor does in a round: each duty takes the gateway and the time, does one thing, and
counts it.
"""
