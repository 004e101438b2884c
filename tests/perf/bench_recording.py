"""What recording costs the serving path: pages per second of a Pack that records everything, over one that does not.

`python tests/perf/bench_recording.py [--json FILE] [--seconds S] [--rounds N]`. Both Packs serve the same bundle in one
fleet with the real training and monitoring services; one is loaded after the other, by 8 connections, in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench_serving import PAGE
from load import Generator, Load
from packline.monitoring.v1.monitoring_pb2 import CompareVersionsRequest
from packline.monitoring.v1.monitoring_pb2_grpc import MonitoringServiceStub
from packline.ocr.v1.ocr_pb2 import RecognizeDocumentRequest
from packline.training.v1.training_pb2 import RegisterPackRequest
from packline.training.v1.training_pb2_grpc import RegistryServiceStub
from packline_core.config import MONITORING_APPLICATION, TRAINING_APPLICATION
from packline_core.fleet.schema import PackApplication
from packline_core.manifest import API_VERSION, KIND
from packline_core.rpc import call_metadata
from packline_core.serving.config import Recording, ServingConfig, Version
from packline_echo.fleet import RunningFleet, running_fleet

METHOD = "/packline.ocr.v1.OcrService/RecognizeDocument"
CONNECTIONS = 8


@dataclass(frozen=True)
class Figures:
    """Of one run; `recorded` counts what monitoring had taken in when it ended."""

    ratio: float
    lowest: float
    highest: float
    recording_per_second: float
    silent_per_second: float
    recorded: int
    dropped: int


def serve(fleet: RunningFleet) -> None:
    """Registers the Pack `recorded` and puts it and its silent twin into the fleet."""
    manifest = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "recorded"},
        "spec": {"task": "ocr", "model": {"base": "fast"}},
    }
    fleet.put()  # the services alone, until training knows the Pack
    with fleet.channel() as channel:
        request = RegisterPackRequest(pack="recorded", manifest_json=json.dumps(manifest))
        metadata = call_metadata(TRAINING_APPLICATION)
        state = RegistryServiceStub(channel).RegisterPack(request, metadata=metadata, timeout=120).state
    version = Version(state.active.version, state.active.digest, state.active.uri)
    fleet.put(
        PackApplication(ServingConfig("recorded", "ocr", version)),
        PackApplication(ServingConfig("silent", "ocr", version, recording=Recording(enabled=False))),
    )


def measure(fleet: RunningFleet, folder: Path, rounds: int, seconds: float) -> Figures:
    """Loads both in turn."""
    generator = Generator()
    rates: dict[str, list[float]] = {"recorded": [], "silent": []}
    for pack in rates:
        request = RecognizeDocumentRequest(pack=pack, document=PAGE.read_bytes())
        (folder / pack).write_bytes(request.SerializeToString())
    for turn in range(rounds + 1):
        for pack in sorted(rates, reverse=turn % 2 == 1):
            load = Load(fleet.settings.address, pack, METHOD, str(folder / pack), CONNECTIONS, seconds)
            done = generator.run(load)
            if turn > 0:  # the first turn warms up
                rates[pack].append(done.per_second)
    generator.close()
    time.sleep(5)  # batches on their way
    with fleet.channel() as channel:
        request = CompareVersionsRequest(pack="recorded")
        request.since.GetCurrentTime()
        request.since.seconds -= 3600
        metadata = call_metadata(MONITORING_APPLICATION)
        seen = MonitoringServiceStub(channel).CompareVersions(request, metadata=metadata, timeout=60)
    ratios = [ours / other for ours, other in zip(rates["recorded"], rates["silent"], strict=True)]
    return Figures(
        round(statistics.median(ratios), 3),
        round(min(ratios), 3),
        round(max(ratios), 3),
        round(statistics.median(rates["recorded"]), 2),
        round(statistics.median(rates["silent"]), 2),
        sum(version.requests for version in seen.versions),
        seen.dropped,
    )


def main() -> None:
    """Measures, prints, and writes JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_fleet(folder / "home", services=(TRAINING_APPLICATION, MONITORING_APPLICATION)) as fleet:
            serve(fleet)
            figures = measure(fleet, folder, options.rounds, options.seconds)
    print(
        f"recording everything: {figures.ratio:.3f} of the pages per second without (rounds from {figures.lowest} to "
        f"{figures.highest}); {figures.recording_per_second} against {figures.silent_per_second} pages/s; "
        f"{figures.recorded} recorded, {figures.dropped} dropped"
    )
    if options.json:
        options.json.write_text(json.dumps(figures.__dict__, indent=1), encoding="utf8")


if __name__ == "__main__":
    main()
