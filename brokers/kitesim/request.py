"""One HTTP request, read."""

import json
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from brokers.kitesim.accounts import Account
from brokers.kitesim.answers import Refused
from brokers.kitesim.faults import Fault


@dataclass
class Request:
    """`account` and `fault` are filled in on the way."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    ip: str = ""
    account: Account | None = None
    fault: Fault | None = None

    def form(self) -> dict[str, str]:
        """The fields of a form body. Raises Refused."""
        try:
            fields = parse_qs(self.body.decode(), keep_blank_values=True)
        except ValueError:
            raise Refused("Invalid request.") from None
        return {name: values[-1] for name, values in fields.items()}

    def json(self) -> object:
        """The JSON body, an empty object without one. Raises Refused."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError:
            raise Refused("Invalid JSON data.") from None

    def first(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]

    def credentials(self) -> tuple[str, str]:
        """(api_key, access token) of the Authorization header, empty when there is none."""
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        api_key, _, token = value.strip().partition(":")
        return (api_key, token) if kind == "token" else ("", "")

    def names(self) -> tuple[str, str]:
        """(api_key, tag), wherever the request carries them: what a fault may be narrowed to."""
        api_key = self.credentials()[0] or self.first("api_key")
        if self.method not in ("POST", "PUT") or "urlencoded" not in self.headers.get("content-type", ""):
            return api_key, ""
        try:
            form = self.form()
        except Refused:
            return api_key, ""
        return api_key or form.get("api_key", ""), form.get("tag", "")
