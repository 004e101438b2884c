"""Recommends and reports orders with nothing but gRPC: `python examples/recommendation/client.py USER [--order ITEM]`.

The stubs are the distribution packline-proto; any language with gRPC can do the same.
"""

import argparse
import uuid

import grpc
from packline.recommendation.v1 import recommendation_pb2, recommendation_pb2_grpc

parser = argparse.ArgumentParser(description="Recommend items to a customer through a Pack.")
parser.add_argument("user", metavar="USER")
parser.add_argument("--order", metavar="ITEM", help="Tell the Pack that the customer ordered it, first.")
parser.add_argument("--pack", default="wholesale")
parser.add_argument("--address", default="127.0.0.1:9000")
options = parser.parse_args()

with grpc.insecure_channel(options.address) as channel:
    service = recommendation_pb2_grpc.RecommendationServiceStub(channel)
    metadata = (("application", options.pack),)
    if options.order:
        event = recommendation_pb2.Event(event_id=uuid.uuid4().hex, user=options.user, item=options.order)
        told = recommendation_pb2.RecordEventsRequest(pack=options.pack, events=[event])
        service.RecordEvents(told, metadata=metadata, timeout=10)
    request = recommendation_pb2.RecommendRequest(pack=options.pack, user=options.user, k=10)
    answer = service.Recommend(request, metadata=metadata, timeout=10)
    for result in answer.results:
        causes = ", ".join(cause.item for cause in result.causes)
        print(f"{result.score:8.3f}  {result.item:>6}  {result.text}{f'  (because of {causes})' if causes else ''}")
    for note in answer.notes:
        print(note)
