"""What a name may hold."""

from django.core.validators import RegexValidator

# Control characters break a line of the log and no alert can name them; the others are invisible or turn the text after them round.
# The two joiners (U+200C, U+200D) stay: Indian scripts need them.
one_line = RegexValidator(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]",
    "Only visible characters, in one line.",
    "invisible",
    inverse_match=True,
)
