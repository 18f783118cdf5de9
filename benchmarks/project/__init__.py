"""The Django project that every server under test runs, unchanged."""
