"""What a replica is told survives the way through Serve's configuration."""

import json

import pytest
from packline_core.errors import InvalidInput
from packline_core.serving.config import Candidate, Limits, Recording, ServingConfig, Version, from_user_config

CONFIG = ServingConfig(
    "invoices",
    "ocr",
    Version("v1", "sha256:a", "file:///a"),
    Candidate("v2", "sha256:b", "file:///b", 10, True),
    {"language": "ko"},
    Recording(True, 0.5),
    Limits(max_queue=3),
)


def test_there_and_back() -> None:
    assert from_user_config(json.loads(json.dumps(CONFIG.to_user_config()))) == CONFIG
    assert from_user_config(ServingConfig("p", "t").to_user_config()) == ServingConfig("p", "t")


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(InvalidInput, match="colour"):
        from_user_config({**CONFIG.to_user_config(), "colour": "red"})
