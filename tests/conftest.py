"""No test asserts on measured time, hypothesis included: its default deadline would, on a busy machine."""

from hypothesis import settings

settings.register_profile("guicang", deadline=None)
settings.load_profile("guicang")
