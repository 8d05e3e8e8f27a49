from trading.management.commands import syncorders


class Command(syncorders.Command):
    help = "Reads everything of every connected broker account: orders, positions, holdings, funds. With --loop again and again until SIGTERM."
    full = True
