"""Sign-in by the page: Django's own view, with the same rate for attempts as the API has."""

from django.conf import settings
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse

from tvapp.throttles import AnonThrottle


class DeskLogin(LoginView):
    """Too many attempts from one address answer 429 on the same page, without looking at the password."""

    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args, **kwargs) -> HttpResponse:
        throttle = AnonThrottle()
        if settings.TEST_MODE or throttle.allow_request(request, self):
            return super().post(request, *args, **kwargs)
        response = self.render_to_response(self.get_context_data(form=self.get_form_class()(request), too_many=True), status=429)
        response["Retry-After"] = str(int(throttle.wait() or 1))
        return response
