"""Serves the one Plotly bundle out of the installed plotly package, so that nothing is vendored and no CDN is asked."""

from collections.abc import Iterator

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage


class PlotlyFinder(BaseFinder):
    """Finds exactly `plotly/plotly.min.js`."""

    path = "plotly/plotly.min.js"

    def find(self, path: str, find_all: bool = False, **kwargs: object) -> object:
        if path != self.path:
            return []
        found = str(settings.PLOTLY_BUNDLE)
        return [found] if find_all else found

    def list(self, ignore_patterns: object) -> Iterator[tuple[str, FileSystemStorage]]:
        storage = FileSystemStorage(location=settings.PLOTLY_BUNDLE.parent)
        storage.prefix = "plotly"  # type: ignore[attr-defined]
        yield settings.PLOTLY_BUNDLE.name, storage
