"""Reads documents with nothing but gRPC: `python examples/ocr/client.py FILE… [--pack NAME] [--address HOST:PORT]`.

The stubs are the distribution packline-proto; any language with gRPC can do the same.
"""

import argparse
from pathlib import Path

import grpc
from packline.ocr.v1 import ocr_pb2, ocr_pb2_grpc

parser = argparse.ArgumentParser(description="Read documents through a Pack.")
parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
parser.add_argument("--pack", default="delivery-notes")
parser.add_argument("--address", default="127.0.0.1:9000")
options = parser.parse_args()

with grpc.insecure_channel(options.address, [("grpc.max_receive_message_length", 64 << 20)]) as channel:
    service = ocr_pb2_grpc.OcrServiceStub(channel)
    for file in options.files:
        request = ocr_pb2.RecognizeDocumentRequest(pack=options.pack, document=file.read_bytes())
        answer = service.RecognizeDocument(request, metadata=(("application", options.pack),), timeout=60)
        for page in answer.pages:
            print(f"--- {file} page {page.number}, read by {answer.model_version}")
            for line in page.lines:
                print(f"{line.confidence:.2f}  {line.text}")
