"""JSON as the API takes it: what cannot be read is a refusal of the request, never a stumble of the desk."""

import json

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class BodyParser(JSONParser):
    """DRF's parser reads nested brackets by recursion; a body that is too deep for that is unreadable like any other.

    So is one that no answer could repeat: a number beyond every float, half of a character pair.
    """

    def parse(self, stream, media_type=None, parser_context=None):
        try:
            body = super().parse(stream, media_type, parser_context)
            json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except (RecursionError, ValueError) as unreadable:
            raise ParseError from unreadable
        return body
