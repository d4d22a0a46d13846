from django.contrib import admin
from django.contrib.auth.views import PasswordChangeView
from django.urls import path

from tests.app import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("password/", PasswordChangeView.as_view(success_url="/whoami/")),
    path("untouched/", views.untouched),
    path("read/", views.read),
    path("set/<str:key>/<str:value>/", views.set_value),
    path("pop/<str:key>/", views.pop_value),
    path("append/<str:key>/<str:value>/", views.append),
    path("whoami/", views.whoami),
    path("login/<str:username>/", views.sign_in),
    path("login-and-wait/<str:username>/", views.sign_in_and_wait),
    path("logout/", views.sign_out),
    path("fail/", views.fail),
    path("do/<str:name>/", views.do),
    path("async/untouched/", views.auntouched),
    path("async/read/", views.aread),
    path("async/set/<str:key>/<str:value>/", views.aset_value),
    path("async/pop/<str:key>/", views.apop_value),
    path("async/append/<str:key>/<str:value>/", views.aappend),
    path("async/whoami/", views.awhoami),
    path("async/login/<str:username>/", views.asign_in),
    path("async/login-and-wait/<str:username>/", views.asign_in_and_wait),
    path("async/logout/", views.asign_out),
    path("async/fail/", views.afail),
    path("async/do/<str:name>/", views.ado),
]
