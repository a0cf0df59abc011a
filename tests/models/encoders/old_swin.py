"""The layout of timm 0.5.4 that CTransPath's checkpoint has, and its forward pass written anew.

Nothing of timm is used: names and shapes stand here as the published code makes them, and the
network is a function of the tensors under those names.
"""

import torch
from torch import Tensor
from torch.nn import functional

WIDTHS, DEPTHS, HEADS = (96, 192, 384, 768), (2, 2, 6, 2), (3, 6, 12, 24)
SIDES = (56, 28, 14, 7)
WINDOW = 7


class Layout:
    """Tensors by name, drawn one after the other."""

    def __init__(self, seed: int) -> None:
        self.draw = torch.Generator().manual_seed(seed)
        self.state: dict[str, Tensor] = {}

    def values(self, *shape: int) -> Tensor:
        return 0.05 * torch.randn(shape, generator=self.draw)

    def layer(self, name: str, *shape: int, bias: bool = True) -> None:
        self.state[f"{name}.weight"] = self.values(*shape)
        if bias:
            self.state[f"{name}.bias"] = self.values(shape[0])

    def norm(self, name: str, width: int) -> None:
        self.state[f"{name}.weight"] = 1 + self.values(width)
        self.state[f"{name}.bias"] = self.values(width)

    def stem(self) -> None:
        for place, out, into in ((0, 12, 3), (3, 24, 12)):
            name = f"patch_embed.proj.{place + 1}"
            self.layer(f"patch_embed.proj.{place}", out, into, 3, 3, bias=False)
            self.norm(name, out)
            self.state[f"{name}.running_mean"] = self.values(out)
            self.state[f"{name}.running_var"] = 1 + self.values(out).abs()
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(100)
        self.layer("patch_embed.proj.6", 96, 24, 1, 1)
        self.norm("patch_embed.norm", 96)

    def block(self, stage: int, block: int) -> None:
        name, width = f"layers.{stage}.blocks.{block}", WIDTHS[stage]
        self.norm(f"{name}.norm1", width)
        self.state[f"{name}.attn.relative_position_bias_table"] = self.values(169, HEADS[stage])
        self.state[f"{name}.attn.relative_position_index"] = position_index()
        self.layer(f"{name}.attn.qkv", 3 * width, width)
        self.layer(f"{name}.attn.proj", width, width)
        self.norm(f"{name}.norm2", width)
        self.layer(f"{name}.mlp.fc1", 4 * width, width)
        self.layer(f"{name}.mlp.fc2", width, 4 * width)
        if block % 2 and SIDES[stage] > WINDOW:
            self.state[f"{name}.attn_mask"] = shift_mask(SIDES[stage])


def old_layout(seed: int) -> dict[str, Tensor]:
    """Every tensor of the published file, with random values; buffers as they are computed."""
    layout = Layout(seed)
    layout.stem()
    for stage, depth in enumerate(DEPTHS):
        for block in range(depth):
            layout.block(stage, block)
        if stage < 3:
            name, width = f"layers.{stage}.downsample", WIDTHS[stage]
            layout.layer(f"{name}.reduction", 2 * width, 4 * width, bias=False)
            layout.norm(f"{name}.norm", 4 * width)
    layout.norm("norm", 768)
    return layout.state


def old_forward(state: dict[str, Tensor], images: Tensor) -> dict[str, Tensor]:
    """Give `maps` (B, side, side, C) of the stages before merging, `merged`, and `out` (B, 768)."""
    found = images
    for place in (0, 3):
        found = functional.conv2d(
            found, state[f"patch_embed.proj.{place}.weight"], stride=2, padding=1
        )
        name = f"patch_embed.proj.{place + 1}"
        found = functional.batch_norm(
            found,
            state[f"{name}.running_mean"],
            state[f"{name}.running_var"],
            state[f"{name}.weight"],
            state[f"{name}.bias"],
        ).relu()
    name = "patch_embed.proj.6"
    found = functional.conv2d(found, state[f"{name}.weight"], state[f"{name}.bias"])
    rows = _norm(state, "patch_embed.norm", found.flatten(2).transpose(1, 2))  # (B, 3136, 96)
    rows = rows.reshape(len(images), 56, 56, 96)
    answer = {}
    for stage, depth in enumerate(DEPTHS):
        for block in range(depth):
            rows = _block(state, stage, block, rows)
        answer[f"map{stage + 1}"] = rows
        if stage < 3:
            rows = _merge(state, f"layers.{stage}.downsample", rows)
            answer[f"merged{stage + 1}"] = rows
    answer["out"] = _norm(state, "norm", rows).mean(dim=(1, 2))
    return answer


def position_index() -> Tensor:
    """Entry of the table for every pair of places in a window: (7 + dy - 1) * 13 + (7 + dx - 1)."""
    places = [(y, x) for y in range(WINDOW) for x in range(WINDOW)]
    return torch.tensor(
        [[(y - v + 6) * 13 + (x - u + 6) for (v, u) in places] for (y, x) in places]
    )


def shift_mask(side: int) -> Tensor:
    """-100 between places that only the roll brought into one window: (windows, 49, 49)."""

    def band(at: int) -> int:
        return 0 if at < side - WINDOW else 1 if at < side - 3 else 2

    windows = side // WINDOW
    masks = []
    for top in range(windows):
        for left in range(windows):
            regions = torch.tensor(
                [
                    band(top * WINDOW + y) * 3 + band(left * WINDOW + x)
                    for y in range(WINDOW)
                    for x in range(WINDOW)
                ]
            )
            masks.append((regions[:, None] != regions[None]) * -100.0)
    return torch.stack(masks)


def _norm(state: dict[str, Tensor], name: str, rows: Tensor) -> Tensor:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return functional.layer_norm(rows, weight.shape, weight, bias)


def _linear(state: dict[str, Tensor], name: str, rows: Tensor) -> Tensor:
    return functional.linear(rows, state[f"{name}.weight"], state.get(f"{name}.bias"))


def _block(state: dict[str, Tensor], stage: int, block: int, rows: Tensor) -> Tensor:
    name = f"layers.{stage}.blocks.{block}"
    mask = state.get(f"{name}.attn_mask")
    shift = 0 if mask is None else 3
    normed = _norm(state, f"{name}.norm1", rows).roll((-shift, -shift), (1, 2))
    seen = _attend(state, f"{name}.attn", HEADS[stage], normed, mask)
    rows = rows + seen.roll((shift, shift), (1, 2))
    inner = _linear(state, f"{name}.mlp.fc1", _norm(state, f"{name}.norm2", rows))
    return rows + _linear(state, f"{name}.mlp.fc2", functional.gelu(inner))


def _attend(
    state: dict[str, Tensor], name: str, heads: int, rows: Tensor, mask: Tensor | None
) -> Tensor:
    answer = torch.empty_like(rows)
    count, side, _, width = rows.shape
    table = state[f"{name}.relative_position_bias_table"]
    bias = table[state[f"{name}.relative_position_index"]].permute(2, 0, 1)  # (heads, 49, 49)
    for number in range((side // WINDOW) ** 2):
        top, left = (WINDOW * at for at in divmod(number, side // WINDOW))
        window = rows[:, top : top + WINDOW, left : left + WINDOW].reshape(count, 49, width)
        q, k, v = (
            part.reshape(count, 49, heads, width // heads).transpose(1, 2)
            for part in _linear(state, f"{name}.qkv", window).chunk(3, dim=-1)
        )
        weights = q @ k.transpose(-1, -2) / (width // heads) ** 0.5 + bias
        if mask is not None:
            weights = weights + mask[number]
        seen = (weights.softmax(dim=-1) @ v).transpose(1, 2).reshape(count, 49, width)
        answer[:, top : top + WINDOW, left : left + WINDOW] = _linear(
            state, f"{name}.proj", seen
        ).reshape(count, WINDOW, WINDOW, width)
    return answer


def _merge(state: dict[str, Tensor], name: str, rows: Tensor) -> Tensor:
    corners = ((0, 0), (1, 0), (0, 1), (1, 1))  # (row, column) parity, in the published order
    four = torch.cat([rows[:, y::2, x::2] for y, x in corners], dim=-1)
    return _linear(state, f"{name}.reduction", _norm(state, f"{name}.norm", four))
