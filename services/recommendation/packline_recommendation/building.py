"""The base `popular`: a bundle without a model, which recommends by what the Pack is told while it serves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from packline_core.bundle import Bundle, Reference, seal

from packline_recommendation.asking import Answer, Basis, answer_json
from packline_recommendation.examples import Query, query_payload
from packline_recommendation.layout import (
    REFERENCES,
    Settings,
    write_contexts,
    write_histories,
    write_items,
    write_settings,
)

# Fixed, so that building a base again makes the same bundle.
_PUBLISHED = datetime(2026, 11, 1, tzinfo=UTC)


def seal_popular(folder: Path) -> Bundle:
    """Writes the sealed bundle of base `popular` into the empty `folder`."""
    write_settings(Settings("popular", length=0, timed=True, repeats=True), folder)
    nothing = np.zeros(0)
    write_items(
        folder, ids=(), texts=(), attributes=(), popularity=nothing.astype(np.float32), events=nothing.astype(np.int64)
    )
    write_histories(folder, ())
    write_contexts(folder, {})
    (folder / REFERENCES).mkdir()
    payload, answer = f"{REFERENCES}/nobody.json", f"{REFERENCES}/nobody.json.answer.json"
    (folder / payload).write_bytes(query_payload(Query("", ())))
    (folder / answer).write_text(answer_json(Answer((), Basis.POPULAR)), encoding="utf8")
    return seal(
        folder,
        task="recommendation",
        base="popular",
        created_at=_PUBLISHED,
        signature={},
        references=(Reference(payload, answer),),
        provenance={"licence": "CC0-1.0"},
    )
