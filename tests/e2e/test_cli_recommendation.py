"""What a wholesaler does on one machine, with the example's Pack: apply, tell, import, train, recommend, evaluate."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packline.recommendation.v1 import recommendation_pb2
from packline_client import Client
from packline_client.recommendation import Basis, Event, Item
from packline_core.channels import open_channel
from packline_core.config import load_settings
from packline_core.errors import InvalidInput, PacklineError
from packline_core.fleet.api import FleetApi
from packline_core.fleet.local_ray import RunningRay, find_ray

from tests.e2e.conftest import Platform
from tests.fuzz import fuzz

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "recommendation"
PACK = "wholesale"


@pytest.fixture(scope="module")
def wholesale(platform: Platform) -> Iterator[Platform]:
    """The platform with the example's Pack ready."""
    platform.must("apply", "-f", EXAMPLE / "pack.yaml", "--wait")
    yield platform
    platform.must("delete", "pack", PACK)


@pytest.fixture(scope="module")
def ray(wholesale: Platform) -> RunningRay:
    found = find_ray(wholesale.home)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def client(ray: RunningRay) -> Iterator[Client]:
    with Client(ray.address, timeout=60) as opened:
        yield opened


def replica_pid(platform: Platform, ray: RunningRay) -> int:
    settings = ray.settings(load_settings({"PACKLINE_HOME": str(platform.home)}))
    (replica,) = FleetApi.of(settings).applications()[PACK].replicas
    assert replica.pid is not None
    return int(replica.pid)


def test_a_new_pack_recommends_what_it_is_told_of(wholesale: Platform, client: Client) -> None:
    assert client.recommendation.recommend(PACK, "first").results == ()
    assert client.recommendation.import_items(PACK, [Item("a", "나사"), Item("b", "Bolt")]).changed == 2
    told = [Event(f"u{number}", "b") for number in range(3)]
    assert client.recommendation.record_events(PACK, told).recorded == 3
    assert client.recommendation.record_events(PACK, told).duplicates == 3
    assert [one.recorded for one in client.recommendation.stream_events(PACK, [Event("v", "a"), Event("w", "b")])] == [
        1,
        1,
    ]
    deadline = time.monotonic() + 30
    while client.recommendation.recommend(PACK, "first", k=1).items != ("b",):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    answer = client.recommendation.recommend(PACK, "first", k=5)
    assert (answer.basis, answer.model_version) == (Basis.POPULAR, "v1")
    assert "only 2 of 2" not in " ".join(answer.notes) and "k was reduced from 5 to 2" in answer.notes[0]
    rows = [json.loads(line) for line in wholesale.must("recommend", PACK, "--user", "u", "-f", "jsonl").splitlines()]
    assert [row["item"] for row in rows] == ["b", "a"] and rows[1]["text"] == "나사"


def test_wrong_questions_are_refused_in_words(wholesale: Platform, client: Client) -> None:
    assert wholesale("recommend", PACK).code == 2
    ran = wholesale("recommend", PACK, "--user", "u", "-k", "0")
    assert ran.code == 2 and "k is 0" in ran.err
    assert wholesale("recommend", "nobody", "--user", "u").code == 3
    with pytest.raises(InvalidInput, match="unknown; choose"):
        client.recommendation.record_events(PACK, [Event("u", "a", event="teleport")])


def test_what_a_user_took_is_told_of_the_version(wholesale: Platform, client: Client) -> None:
    answer = client.recommendation.recommend(PACK, "taker")
    assert answer.items
    truth = json.dumps([[answer.items[0], "click", 1.0, 0]])
    client.monitoring.correct(PACK, truth, prediction_id=answer.prediction_id)
    (figures,) = client.monitoring.compare(PACK).versions
    assert figures.hits is not None and figures.hits.rate is not None
    assert (figures.hits.told, figures.hits.hits) == (1, 1) and figures.hits.answers > 1
    assert 0 <= figures.hits.rate.low < figures.hits.rate.value < figures.hits.rate.high
    assert "HITS" in wholesale.must("history", PACK)
    assert "they took something of 1 of" in wholesale.must("describe", "pack", PACK)


def test_kill_9_during_ingestion_loses_nothing_acknowledged(
    wholesale: Platform, ray: RunningRay, client: Client
) -> None:
    acknowledged: list[str] = []
    stop = threading.Event()

    def send() -> None:
        number = 0
        with Client(ray.address, timeout=60, retries=False) as sender:
            while not stop.is_set():
                event = Event("killed", f"k{number}", event_id=f"k{number}")
                try:
                    sender.recommendation.record_events(PACK, [event])
                except PacklineError:
                    time.sleep(0.05)
                    continue
                acknowledged.append(event.item)
                number += 1

    senders = threading.Thread(target=send)
    senders.start()
    try:
        while len(acknowledged) < 50:
            time.sleep(0.01)
        before = replica_pid(wholesale, ray)
        os.kill(before, signal.SIGKILL)
        at_kill = len(acknowledged)
        deadline = time.monotonic() + 120
        while len(acknowledged) < at_kill + 50:
            assert time.monotonic() < deadline, "no event was taken in after the kill"
            time.sleep(0.05)
    finally:
        stop.set()
        senders.join()
    again = client.recommendation.record_events(PACK, [Event("killed", item, event_id=item) for item in acknowledged])
    assert (again.recorded, again.duplicates) == (0, len(acknowledged))


def test_bad_rows_are_counted_and_the_rest_is_imported(wholesale: Platform, tmp_path: Path) -> None:
    rows = (EXAMPLE / "data" / "events.csv").read_text("utf8").splitlines()[:41]
    for line in (5, 15, 25, 35):
        rows[line] = rows[line].replace(":", "?")
    (tmp_path / "events.csv").write_text("\n".join(rows) + "\n", "utf8")
    ran = wholesale("import", PACK, tmp_path)
    assert ran.code == 0 and "4 left out" in ran.out
    assert "events.csv, line 6: time" in ran.err and "is no time" in ran.err
    (tmp_path / "events.csv").write_text(rows[0] + "\n", "utf8")
    ran = wholesale("import", PACK, tmp_path)
    assert ran.code == 2 and "holds no event" in ran.err


def test_any_message_gets_a_clear_status(ray: RunningRay, client: Client) -> None:
    service = recommendation_pb2.DESCRIPTOR.services_by_name["RecommendationService"]
    with open_channel(ray.address, retries=False) as channel:
        fuzz(channel, service, application=PACK, pack=PACK, examples=25)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_from_an_order_log_to_a_version_that_foresees_orders(
    wholesale: Platform, ray: RunningRay, client: Client, tmp_path: Path
) -> None:
    quick = yaml.safe_load((EXAMPLE / "pack.yaml").read_text("utf8"))
    quick["spec"]["training"] = {"budget": {"maxMinutes": 4, "maxTrials": 1}}
    quick["spec"]["rollout"] |= {"shadow": "1s", "steps": [{"weight": 50, "hold": "1s"}], "minRequests": 0}
    (tmp_path / "pack.yaml").write_text(yaml.safe_dump(quick), "utf8")
    wholesale.must("apply", "-f", tmp_path / "pack.yaml")
    assert "0 left out" in wholesale.must("import", PACK, EXAMPLE / "data")
    before = json.loads(wholesale.must("evaluate", PACK, "--data", EXAMPLE / "holdout", "--json"))
    with (EXAMPLE / "holdout" / "events.csv").open(encoding="utf8", newline="") as stream:
        users = {row["user_id"] for row in csv.DictReader(stream)}
    assert (before["n"], before["failed"], before["model_version"]) == (len(users), 0, "v1")
    ran = wholesale("train", PACK, "--wait", timeout=1500)
    assert ran.code == 0, ran.out + ran.err
    deadline = time.monotonic() + 600
    while client.recommendation.recommend(PACK, "12937").model_version != "v2":
        assert time.monotonic() < deadline, wholesale.must("describe", "pack", PACK)
        time.sleep(1)
    after = json.loads(wholesale.must("evaluate", PACK, "--data", EXAMPLE / "holdout", "--json"))
    figures = [{m["name"]: m["value"] for m in result["metrics"]} for result in (before, after)]
    assert set(figures[1]) == {"recall@10", "ndcg@10"}
    assert figures[1]["recall@10"] > figures[0]["recall@10"] + 0.05
    answer = client.recommendation.recommend(PACK, "12937")
    assert answer.basis == Basis.USER and answer.results[0].text and any(result.causes for result in answer.results)
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "client.py"), "12937", "--order", "0", "--address", ray.address],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) >= 10
    report = tmp_path / "report.html"
    subprocess.run(
        [sys.executable, str(EXAMPLE / "report.py"), "--address", ray.address, "--out", str(report)], check=True
    )
    assert "recall@10" in report.read_text("utf8")
