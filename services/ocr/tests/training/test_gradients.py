from __future__ import annotations

import itertools

import pytest
import torch
from packline_ocr.training.gradients import line_loss

CLASSES = 7  # blank, A, a, B, b, 1, 2
PAIRS = torch.tensor([[1, 3], [2, 4]])
LABELS = [[1, 5, 4], [5, 5]]


def exact(logits: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """The loss by its definition: over all paths, and over all spellings that count as the same."""
    twins = {a: b for first, second in pairs.T.tolist() for a, b in ((first, second), (second, first))}
    loss = torch.zeros((), dtype=logits.dtype)
    for line, label in zip(logits.log_softmax(-1), LABELS, strict=True):
        found = []
        for path in itertools.product(range(CLASSES), repeat=len(line)):
            read = [key for key, _ in itertools.groupby(min(step, twins.get(step, step)) for step in path) if key]
            if read == [min(step, twins.get(step, step)) for step in label]:
                found.append(line[range(len(path)), list(path)].sum())
        loss = loss - torch.stack(found).logsumexp(0)
    return loss


@pytest.mark.parametrize("pairs", [PAIRS, PAIRS[:, :0]], ids=["either case", "as labelled"])
def test_loss_and_gradient_are_those_of_the_definition(pairs: torch.Tensor) -> None:
    logits = torch.randn(2, 5, CLASSES, generator=torch.Generator().manual_seed(0)).requires_grad_()
    wanted = exact(logits, pairs)
    (slope,) = torch.autograd.grad(wanted, logits)
    loss, gradient = line_loss(logits.detach(), LABELS, pairs)
    assert loss == pytest.approx(float(wanted.detach()), rel=1e-4)
    torch.testing.assert_close(gradient, slope, rtol=1e-3, atol=1e-5)


def test_a_line_too_short_for_its_label_teaches_nothing() -> None:
    loss, gradient = line_loss(torch.zeros(1, 2, CLASSES), [[1, 3, 5]], PAIRS)
    assert loss == 0
    assert not gradient.any()
