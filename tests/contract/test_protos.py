"""What every RPC promises: its request names its Pack, and no two methods of an application share a name."""

from importlib import import_module

import pytest
from google.protobuf.descriptor import ServiceDescriptor

SERVICES = {
    "packline.ocr.v1.ocr_pb2": ["OcrService"],
    "packline.recommendation.v1.recommendation_pb2": ["RecommendationService"],
    "packline.echo.v1.echo_pb2": ["EchoService"],
    "packline.training.v1.training_pb2": ["DatasetService", "RunService", "RegistryService"],
    "packline.monitoring.v1.monitoring_pb2": ["MonitoringService"],
}
# These speak of many Packs at once: the Pack stands in each element, or the question is which Packs there are.
OF_MANY_PACKS = {"RecordPredictionsRequest", "ReportReplicaRequest", "ListPacksRequest"}


def services(module: str) -> list[ServiceDescriptor]:
    by_name = import_module(module).DESCRIPTOR.services_by_name
    assert sorted(by_name) == sorted(SERVICES[module]), "a service is missing from this test's list"
    return list(by_name.values())


@pytest.mark.parametrize("module", SERVICES)
def test_every_request_names_its_pack(module: str) -> None:
    for service in services(module):
        for method in service.methods:
            request = method.input_type
            if request.name not in OF_MANY_PACKS:
                assert request.fields[0].name == "pack", f"{method.full_name}: `pack` must be the request's first field"


@pytest.mark.parametrize("module", SERVICES)
def test_method_names_are_unique_in_an_application(module: str) -> None:
    # Ray Serve routes a call to the deployment's method of that name, whatever the service.
    names = [method.name for service in services(module) for method in service.methods] + ["Check", "Watch"]
    assert len(names) == len(set(names))


def test_every_answer_of_a_task_names_prediction_and_version() -> None:
    answers = (
        ("ocr", "RecognizeDocumentResponse"),
        ("echo", "EchoResponse"),
        ("recommendation", "RecommendResponse"),
        ("recommendation", "SimilarItemsResponse"),
    )
    for module, answer in answers:
        message = import_module(f"packline.{module}.v1.{module}_pb2").DESCRIPTOR.message_types_by_name[answer]
        assert {"prediction_id", "model_version"} <= {field.name for field in message.fields}
