"""Every RPC of the real services, fuzzed through the real ingress: a clear status whatever is sent."""

import pytest
from google.protobuf.descriptor import ServiceDescriptor
from packline.monitoring.v1 import monitoring_pb2
from packline.ocr.v1 import ocr_pb2
from packline.training.v1 import training_pb2
from packline_core.channels import open_channel
from packline_core.config import MONITORING_APPLICATION, TRAINING_APPLICATION

from tests.e2e.conftest import PACK
from tests.fuzz import fuzz

pytestmark = pytest.mark.cluster

# The services are told of a Pack that does not exist, since other tests look at what is known of the one that does.
NOBODY = "fuzzed"
SERVICES = [
    (ocr_pb2.DESCRIPTOR.services_by_name["OcrService"], PACK),
    *((service, TRAINING_APPLICATION) for service in training_pb2.DESCRIPTOR.services_by_name.values()),
    *((service, MONITORING_APPLICATION) for service in monitoring_pb2.DESCRIPTOR.services_by_name.values()),
]


@pytest.mark.parametrize(("service", "application"), SERVICES, ids=lambda value: getattr(value, "name", value))
def test_any_message_gets_a_clear_status(address: str, service: ServiceDescriptor, application: str) -> None:
    with open_channel(address, retries=False) as channel:
        pack = PACK if application == PACK else NOBODY
        fuzz(channel, service, application=application, pack=pack, examples=25)
