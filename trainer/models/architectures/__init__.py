"""The architectures that come with the trainer. A new one is a new file here.

Every module of this folder is imported when an architecture is first looked up; it registers its
networks with `trainer.models.register_architecture` and imports TensorFlow in its functions alone.
"""

__all__: list[str] = []
