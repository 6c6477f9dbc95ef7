"""Another version of the module of the same name in ``tasks_a``."""

NAME = "b"


def version(index):
    return NAME
