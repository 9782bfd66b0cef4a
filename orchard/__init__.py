"""The ground that data_prep, trainer and ensemble stand on.

Errors, the command line, flags, storage, and the files that pass between the stages.
"""

__version__ = "0.1.0"
