from tests.trading.desk import desk

__all__ = ["desk"]
