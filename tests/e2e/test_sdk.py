"""The SDK's calls to monitoring and the registry, on a real platform."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from packline_client import AsyncClient
from packline_client.monitoring import ErrorCase, SlotState
from packline_client.training_types import Phase, VersionState
from packline_core.bundle import bytes_digest
from packline_core.errors import InvalidInput, NotFound

from tests.e2e.conftest import EXAMPLE, PACK

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PAGE = sorted((EXAMPLE / "documents" / "holdout" / "img").glob("*.jpg"))[5]
TRUTH = json.dumps([{"transcription": "HELLO", "points": [[1, 1], [90, 1], [90, 20], [1, 20]]}])


async def recorded(client: AsyncClient, sequence: int) -> ErrorCase:
    """The correction, once the replica has delivered the prediction that it is of."""
    while True:
        (case,) = await client.monitoring.error_cases(PACK, after_sequence=sequence - 1)
        if case.model_version:
            return case
        await asyncio.sleep(0.2)


async def test_a_correction_is_listed_read_back_and_erased(address: str) -> None:
    payload = PAGE.read_bytes()
    async with AsyncClient(address, timeout=120) as client:
        document = await client.ocr.recognize(PACK, payload, request_key="one customer")
        wrong = client.monitoring.correct(PACK, "not JSON", prediction_id=document.prediction_id, payload=payload)
        with pytest.raises(InvalidInput):
            await wrong
        given = {"prediction_id": document.prediction_id, "payload": payload}
        first = await client.monitoring.correct(PACK, TRUTH, **given)  # type: ignore[arg-type]
        again = await client.monitoring.correct(PACK, TRUTH, **given)  # type: ignore[arg-type]
        assert (first.created, again.created, again.corrections) == (True, False, first.corrections)

        case = await recorded(client, first.corrections)
        assert (case.prediction_id, case.model_version) == (document.prediction_id, document.model_version)
        assert json.loads(case.truth_json) == json.loads(TRUTH)
        assert case.payload_digest == bytes_digest(payload)
        assert await client.monitoring.payload(PACK, prediction_id=document.prediction_id) == payload

        assert (await client.monitoring.erase(PACK, prediction_id=document.prediction_id)).removed > 0
        assert case not in await client.monitoring.error_cases(PACK, after_sequence=first.corrections - 1)
        with pytest.raises(NotFound):
            await client.monitoring.payload(PACK, prediction_id=document.prediction_id)


async def test_state_versions_and_replicas_agree(address: str) -> None:
    async with AsyncClient(address, timeout=120) as client:
        state = next(state for state in await client.training.packs() if state.pack == PACK)
        (version,) = await client.training.versions(PACK)
        (replica,) = await client.monitoring.replicas(PACK)
        registered = await client.training.pack(PACK)
        comparison = await client.monitoring.compare(PACK, datetime.now(UTC) - timedelta(hours=1))
    assert state == registered.state
    assert state.active == version
    assert (state.task, state.phase, version.version, version.state) == ("ocr", Phase.IDLE, "v1", VersionState.ACTIVE)
    assert json.loads(registered.manifest_json)["metadata"]["name"] == PACK
    assert replica.active is not None
    assert (replica.active.state, replica.active.digest) == (SlotState.READY, version.digest)
    assert [figures.model_version for figures in comparison.versions] == ["v1"]
    assert comparison.versions[0].codes["OK"] > 0
