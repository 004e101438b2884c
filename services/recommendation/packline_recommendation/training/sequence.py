"""A transformer over a user's last items that scores the next one: SASRec with the eSASRec recipe.

SASRec: Kang and McAuley 2018, arXiv:1808.09781. LiGR blocks (pre-norm, learned gates, SwiGLU): Borisyuk et al. 2025,
arXiv:2502.03417. Places are told by distance to the item that looks back, so that a prefix in training and a whole
history in serving look alike however long they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a network.

    Attributes:
        items: In the catalogue.
        text: Features of an item's text; 0 where items have none.
        width: Of an embedding.
        blocks: Layers.
        heads: Of attention; divides `width`.
        length: Most items of a history that are looked at.
        dropout: Share of values that are left out in training.
    """

    items: int
    text: int
    width: int
    blocks: int
    heads: int
    length: int
    dropout: float


class Block(nn.Module):
    """One LiGR block."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.dropout = shape.dropout
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.attention_gate = nn.Linear(width, width)
        self.distance = nn.Parameter(torch.zeros(shape.heads, shape.length))
        self.forward_norm = nn.LayerNorm(width)
        self.forward_in = nn.Linear(width, 8 * width)
        self.forward_out = nn.Linear(4 * width, width)
        self.forward_gate = nn.Linear(width, width)

    def forward(self, given: Tensor, hidden: Tensor) -> Tensor:
        """Args: `given` float (users, length, width); `hidden` float (users, 1, length, length), -inf or 0."""
        users, length, width = given.shape
        parts = self.attention_in(self.attention_norm(given))
        query, key, value = parts.view(users, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        places = torch.arange(length, device=given.device)
        distance = (places[:, None] - places[None, :]).clamp(min=0)
        bias = hidden + self.distance[:, distance]
        seen = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=self.dropout if self.training else 0.0
        )
        seen = self.attention_out(seen.transpose(1, 2).reshape(users, length, width))
        seen = functional.dropout(seen, self.dropout, self.training)
        given = given + torch.sigmoid(self.attention_gate(given)) * seen
        gate, value = self.forward_in(self.forward_norm(given)).chunk(2, dim=-1)
        made = self.forward_out(functional.silu(gate) * value)
        made = functional.dropout(made, self.dropout, self.training)
        return torch.as_tensor(given + torch.sigmoid(self.forward_gate(given)) * made)


class Network(nn.Module):
    """Items of a history in, a vector for each place out, whose product with an item's own scores it as the next.

    Args:
        shape: Sizes.
        text: float32 (items, shape.text); none where the shape has no text.
    """

    text: Tensor

    def __init__(self, shape: Shape, text: Tensor | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.items, shape.width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.text_in = nn.Linear(shape.text, shape.width, bias=False) if shape.text else None
        self.register_buffer("text", torch.zeros(shape.items, 0) if text is None else text, persistent=False)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.blocks))
        self.norm = nn.LayerNorm(shape.width)

    def vectors(self, items: Tensor, own: Tensor | None = None) -> Tensor:
        """Items' vectors, float (…, width).

        Args:
            items: int64 (…), indices.
            own: float (…), 0 where an item shall be known by its text alone; 1 everywhere where left out.
        """
        found: Tensor = self.embedding(items)
        if own is not None:
            found = found * own[..., None]
        return found if self.text_in is None else found + self.text_in(self.text[items])

    def table(self) -> Tensor:
        """All items' vectors, float (items, width)."""
        return self.vectors(torch.arange(self.shape.items, device=self.embedding.weight.device))

    def forward(self, items: Tensor) -> Tensor:
        """Args: `items` int64 (users, length), index + 1, 0 is padding at the front. Gives (users, length, width)."""
        there = items > 0
        states = self.vectors((items - 1).clamp(min=0)) * there[..., None]
        states = functional.dropout(states, self.shape.dropout, self.training)
        length = items.shape[1]
        earlier = torch.ones(length, length, dtype=torch.bool, device=items.device).tril()
        # Padding sees itself, so that no row is without anything to look at.
        seen = earlier & (there[:, None, :] | torch.eye(length, dtype=torch.bool, device=items.device))
        hidden = torch.zeros(seen.shape, device=items.device).masked_fill(~seen, float("-inf"))[:, None]
        for block in self.blocks:
            states = block(states, hidden)
        return torch.as_tensor(self.norm(states))
