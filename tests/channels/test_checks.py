"""System checks."""

from __future__ import annotations

from django.apps import apps
from django.core.checks import run_checks
from django.test import override_settings

OTHERS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]


def found() -> dict[str | None, str]:
    return {
        message.id: f"{message.msg} {message.hint}" for message in run_checks(tags=["channels"])
    }


def test_a_project_in_order_passes() -> None:
    assert found() == {}


@override_settings(ASGI_APPLICATION=None)
def test_a_missing_application_is_a_warning_with_an_example() -> None:
    assert 'ASGI_APPLICATION = "mysite.asgi.application"' in found()["channels.W001"]


@override_settings(ASGI_APPLICATION="tests.missing.application")
def test_an_application_that_cannot_be_imported_is_an_error_with_its_cause() -> None:
    text = found()["channels.E001"]
    assert "No module named 'tests.missing'" in text
    assert "'tests.missing.application'" in text


@override_settings(INSTALLED_APPS=[*OTHERS, "django.contrib.staticfiles", "channels"])
def test_staticfiles_before_channels_is_a_warning() -> None:
    assert 'Put "channels" before' in found()["channels.W002"]


@override_settings(CHANNELS_CLOSE_ON_LOGOUT="False")
def test_a_switch_that_is_a_string_is_a_warning_and_says_what_it_counts_as() -> None:
    assert "'False', which counts as True" in found()["channels.W004"]


@override_settings(CHANNELS_REVALIDATE_SECONDS="300")
def test_an_interval_that_is_no_number_is_a_warning() -> None:
    assert "it is '300'" in found()["channels.W005"]


@override_settings(CHANNELS_REVALIDATE_SECONDS=300, CHANNELS_CLOSE_ON_LOGOUT=False)
def test_settings_of_the_right_kind_pass() -> None:
    assert found() == {}


def test_checks_of_other_apps_say_nothing_about_ours() -> None:
    with override_settings(ASGI_APPLICATION=None):
        configs = [apps.get_app_config("auth")]
        assert run_checks(app_configs=configs, tags=["channels"]) == []
