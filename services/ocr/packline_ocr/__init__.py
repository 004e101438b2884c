"""The OCR task: pages in, lines of text out, and the training that makes it better."""
