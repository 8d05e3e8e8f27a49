"""How pages write money, quantities, ages and times. Templates never format by hand."""

from django import template

register = template.Library()
