"""SQLite with an orderly queue in front of its one writer."""
