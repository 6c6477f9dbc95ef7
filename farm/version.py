"""The version, alone, so that building the package and `farm --version` import nothing else."""

__version__ = "0.1.0"
