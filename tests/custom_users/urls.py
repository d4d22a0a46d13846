from django.urls import path

from tests.app import views

urlpatterns = [
    path("set/<str:key>/<str:value>/", views.set_value),
    path("whoami/", views.whoami),
    path("login/<str:username>/", views.sign_in),
    path("logout/", views.sign_out),
]
