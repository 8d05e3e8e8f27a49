"""How the admin writes times: as everywhere on the desk, in 24 hours."""

TIME_FORMAT = "H:i"
DATETIME_FORMAT = "j M Y, H:i"
