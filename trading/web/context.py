"""What every page's frame needs: the mode, the queue's count, the kill switch."""


def desk(request) -> dict[str, object]:
    return {}
