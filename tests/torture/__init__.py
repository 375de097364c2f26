"""A seeded driver that breaks things under load, on its own server, and proves that nothing was
lost or done twice.
"""
