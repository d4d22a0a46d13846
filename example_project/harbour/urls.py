from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from harbour import views

admin.site.site_header = "Harbour administration"
admin.site.site_title = "Harbour administration"

urlpatterns = [
    path("", views.home, name="home"),
    path("session/", views.your_session, name="your-session"),
    path("session/notes/", views.add_note, name="add-note"),
    path("session/notes/delete/", views.delete_note, name="delete-note"),
    path("sign-in/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("sign-out/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
