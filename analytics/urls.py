"""Data behind the charts."""

from django.urls import path

from analytics import views

app_name = "charts"
urlpatterns = [path("charts/orders-today", views.orders_today, name="orders-today"), path("charts/waiting", views.waiting, name="waiting")]
