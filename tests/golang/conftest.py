from tests.repairing import builds, built

__all__ = ["builds", "built"]
