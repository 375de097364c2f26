"""`pyworker top`: what happens now, on a terminal."""

__all__: list[str] = []
