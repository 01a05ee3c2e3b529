"""The developer's tool around the pipeline: provision it, feed it, look into it."""

__version__ = "0.1.0"
