"""The loggers, one a file: each registers itself in `LOGGERS`."""
