"""Measurements of pyworker on a real server: `pyworker bench`.

Every figure of speed is a ratio to something else of the same run, taken turn about: a bare time
says more of the machine than of the system. Each subject is a module of `measurements`; what they
must come to stands in `goals`.
"""
