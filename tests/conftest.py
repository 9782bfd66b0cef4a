"""What holds for all tests."""

from hypothesis import settings

# A property that is slow to check on a busy machine is not wrong.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
