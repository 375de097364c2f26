"""The demo: 336,776 real flights, and every kind of job on them, from SQL, checked to
the last row.
"""
