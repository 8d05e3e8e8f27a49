"""The admin in the product's words. Everybody who may sign in may enter; rows and permissions decide what they find."""

from django.contrib.admin import AdminSite


class DeskAdminSite(AdminSite):
    site_header = "tvapp settings"
    site_title = "tvapp settings"
    index_title = "Settings"
    site_url = "/"
    enable_nav_sidebar = True
