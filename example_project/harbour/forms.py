from django import forms


class NoteForm(forms.Form):
    """A line of text that is kept in the session."""

    note = forms.CharField(
        label="Note",
        label_suffix="",
        max_length=200,
        help_text="Up to 200 characters. It is gone when the session ends.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
