from django.contrib import admin
from django.urls import path

from tests.app import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("untouched/", views.untouched),
    path("read/", views.read),
    path("set/<str:key>/<str:value>/", views.set_value),
    path("whoami/", views.whoami),
    path("login/<str:username>/", views.sign_in),
    path("logout/", views.sign_out),
    path("fail/", views.fail),
    path("async/read/", views.aread),
    path("async/set/<str:key>/<str:value>/", views.aset_value),
    path("async/whoami/", views.awhoami),
    path("async/login/<str:username>/", views.asign_in),
    path("async/logout/", views.asign_out),
]
