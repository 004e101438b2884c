"""The environment as the chart gives it, and what is wrong with it."""

import pytest
from packline_core.errors import InvalidInput
from packline_operator.kubernetes.settings import load_operator_settings


def test_defaults_are_those_of_a_cluster() -> None:
    settings = load_operator_settings({})
    assert settings.namespaces == () and settings.own_namespace == "default"
    assert settings.address.format(name="f", namespace="n") == "f-serve-svc.n.svc:9000"
    assert settings.serve_api.format(name="f", namespace="n") == "http://f-head-svc.n.svc:8265"


@pytest.mark.parametrize(("given", "expected"), [("a,b", ("a", "b")), ("a", ("a",)), ("*", ()), ("", ()), ("a, *", ())])
def test_namespaces(given: str, expected: tuple[str, ...]) -> None:
    assert load_operator_settings({"PACKLINE_NAMESPACES": given}).namespaces == expected


def test_two_processes_of_one_pod_are_two() -> None:
    first, second = (load_operator_settings({"POD_NAME": "operator-0"}).identity for _ in range(2))
    assert first != second and first.startswith("operator-0_")


@pytest.mark.parametrize(
    ("name", "value"),
    [("PACKLINE_LEASE_SECONDS", "soon"), ("PACKLINE_ADDRESS", "{fleet}:9000"), ("PACKLINE_SERVE_API", "http://{}/")],
)
def test_what_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=name) as caught:
        load_operator_settings({name: value})
    assert caught.value.field == name
