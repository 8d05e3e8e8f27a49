"""The lowest room: clock, money, ids, log, errors. Standard library only; everybody may import it."""
