"""JSON as the API takes it: what cannot be read is a refusal of the request, never a stumble of the desk."""

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class BodyParser(JSONParser):
    """DRF's parser reads nested brackets by recursion; a body that is too deep for that is unreadable like any other."""

    def parse(self, stream, media_type=None, parser_context=None):
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as too_deep:
            raise ParseError from too_deep
