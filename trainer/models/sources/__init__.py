"""The sources of architectures that come with the trainer. A new one is a new file here.

Every module of this folder is imported when a name with a colon is first looked up; it registers
its function with `trainer.models.register_architecture_source` and imports what it reads from in
its functions alone.
"""

__all__: list[str] = []
