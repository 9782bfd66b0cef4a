"""The export formats that come with the ensemble, one a module."""

__all__: list[str] = []
