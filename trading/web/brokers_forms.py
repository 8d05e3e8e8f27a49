"""What the brokers page takes."""

from django import forms

from tvapp.validators import one_line


def _field(label: str, note: str = "", *, secret: bool = False, length: int = 64, **more) -> forms.CharField:
    widget = (forms.PasswordInput if secret else forms.TextInput)(attrs={"class": "in", "autocomplete": "new-password" if secret else "off"})
    given = {"required": False, "validators": [one_line], **more}
    return forms.CharField(label=label, help_text=note, widget=widget, max_length=length, **given)


class AddZerodha(forms.Form):
    name = _field("Name", "How you call it, for example: zerodha.", length=40, required=True, initial="zerodha")
    api_key = _field("API key", "From the developer console. Empty: KITE_API_KEY of the environment.")
    api_secret = _field("API secret", "Never shown again.", secret=True)
    client_id = _field("Client id", "Like AB1234. Only this user may log in; empty: whoever logs in first.", length=20)

    def facts(self) -> dict[str, object]:
        """Fields of the account; valid forms only."""
        data = self.cleaned_data
        facts = {"name": data["name"], "broker": "zerodha", "api_key": data["api_key"].strip(), "client_id": data["client_id"].strip().upper()}
        return facts | ({"credentials": data["api_secret"].strip()} if data["api_secret"] else {})

    def clean(self) -> dict[str, object]:
        data = super().clean()
        if data.get("api_key") and not data.get("api_secret"):
            self.add_error("api_secret", "An API key of its own needs its API secret.")
        return data
