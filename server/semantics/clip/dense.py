# SPDX-License-Identifier: GPL-3.0-or-later
"""What each patch of a picture says, in the space of a CLIP model's texts, without training anything.

A CLIP model is trained to say one thing of a whole picture: its last attention block gathers from everywhere. For dense features that
block looks at patches like the one that asks instead (queries with queries, keys with keys: SCLIP, Wang et al. 2024), and what the
patch held before and the block's feed-forward part are left out (ClearCLIP, Lan et al. 2024). With `attention="ordinary"` nothing is
changed, and `pooled` is what `encode_image` gives.

Three families of open_clip's image towers: its own vision transformers, timm's (SigLIP), timm's convolutional ones (ConvNeXt). A patch of
the latter two goes through the tower's own head as if it were the whole picture, which is what pooling a single place amounts to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core.errors import NotAvailable

Attention = Literal["correlative", "ordinary"]


@dataclass(frozen=True)
class Looked:
    """pooled: [B, D] of each picture as a whole. patches: [B, D, h, w]. Neither is normalised."""

    pooled: Tensor
    patches: Tensor


def look(tower: nn.Module, pixels: Tensor, attention: Attention = "correlative") -> Looked:
    """Features of pictures [B, 3, H, W], normalised as the model wants them.

    Any H and W that are multiples of the patch: position embeddings are interpolated (bicubic, antialiased, as open_clip does when it
    loads weights of another size). A tower of another kind raises NotAvailable.
    """
    if hasattr(tower, "transformer") and hasattr(tower, "conv1"):
        return _open_clip_transformer(tower, pixels, attention)
    trunk = getattr(tower, "trunk", None)
    if trunk is not None and hasattr(trunk, "blocks") and hasattr(trunk, "patch_embed") and hasattr(trunk, "_pos_embed"):
        return _timm_transformer(tower, pixels, attention)
    if trunk is not None and hasattr(trunk, "forward_features") and not hasattr(trunk, "patch_embed"):
        return _timm_convolutional(tower, pixels)
    kind = type(tower if trunk is None else trunk).__name__
    raise NotAvailable(
        f"Dense features of an image tower of the kind '{kind}' are not known.",
        "Choose a vision transformer, SigLIP or a convolutional model.",
    )


def stride(tower: Any) -> int:
    """Side of a patch in pixels."""
    if hasattr(tower, "conv1"):
        return int(tower.patch_size[0])
    if hasattr(tower.trunk, "patch_embed"):
        return int(tower.trunk.patch_embed.patch_size[0])
    return int(tower.trunk.feature_info[-1]["reduction"])


def _open_clip_transformer(tower: Any, pixels: Tensor, attention: Attention) -> Looked:
    if tower.attn_pool is not None:
        raise NotAvailable("Dense features of an attention-pooled (CoCa) model are not known.", "Choose a plain CLIP model.")
    maps = tower.conv1(pixels)
    B, C, h, w = maps.shape
    tokens = torch.cat([tower.class_embedding.to(maps.dtype).expand(B, 1, C), maps.flatten(2).transpose(1, 2)], 1)
    tokens = tower.ln_pre(tokens + _positions(tower.positional_embedding, tower.grid_size, (h, w), 1).to(maps.dtype))
    blocks = list(tower.transformer.resblocks)
    for block in blocks[:-1]:
        tokens = block(tokens)
    whole = blocks[-1](tokens)
    pooled = tower._pool(whole)[0]
    patches = whole[:, 1:]
    if attention == "correlative":
        last = blocks[-1]
        query, key, value = _project(last.attn, last.ln_1(tokens))
        patches = last.attn.out_proj(_correlate(query, key, value))[:, 1:]
    patches = tower.ln_post(patches)
    if tower.proj is not None:
        pooled, patches = pooled @ tower.proj, patches @ tower.proj
    return Looked(pooled, _as_maps(patches, h, w))


def _project(attn: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values [B, heads, N, d] of torch's attention or open_clip's."""
    B, N, _ = x.shape
    parts = F.linear(x, attn.in_proj_weight, attn.in_proj_bias).chunk(3, -1)
    query, key, value = (part.reshape(B, N, attn.num_heads, -1).transpose(1, 2) for part in parts)
    if hasattr(attn, "ln_q"):
        query, key = attn.ln_q(query), attn.ln_k(key)
    return query, key, value


def _timm_transformer(tower: Any, pixels: Tensor, attention: Attention) -> Looked:
    trunk = tower.trunk
    maps = trunk.patch_embed.proj(pixels)
    B, _, h, w = maps.shape
    tokens = trunk.patch_embed.norm(maps.flatten(2).transpose(1, 2))
    before = [one.expand(B, -1, -1) for one in (trunk.cls_token, trunk.reg_token) if one is not None]
    count = sum(one.shape[1] for one in before)
    if trunk.pos_embed is not None:
        own = 0 if trunk.no_embed_class else count
        places = _positions(trunk.pos_embed[0], trunk.patch_embed.grid_size, (h, w), own).to(tokens.dtype)
        tokens = torch.cat([*before, tokens], 1) + places if own else torch.cat([*before, tokens + places], 1)
    else:
        tokens = torch.cat([*before, tokens], 1)
    tokens = trunk.norm_pre(tokens)
    blocks = list(trunk.blocks)
    for block in blocks[:-1]:
        tokens = block(tokens)
    whole = blocks[-1](tokens)
    pooled = tower.head(trunk.forward_head(trunk.norm(whole)))
    patches = whole[:, count:]
    if attention == "correlative":
        # The head was trained on what patches hold as well as on what they gather, so here both stay.
        last = blocks[-1]
        x = last.norm1(tokens)
        query, key, value = last.attn.qkv(x).reshape(B, x.shape[1], 3, last.attn.num_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = last.attn.proj(last.attn.norm(_correlate(last.attn.q_norm(query), last.attn.k_norm(key), value)))
        mixed = tokens + last.ls1(mixed)
        patches = (mixed + last.ls2(last.mlp(last.norm2(mixed))))[:, count:]
    patches = _alone(tower, trunk.norm(patches).reshape(-1, 1, patches.shape[-1]), count)
    return Looked(pooled, _as_maps(patches.reshape(B, h * w, -1), h, w))


def _alone(tower: Any, tokens: Tensor, before: int) -> Tensor:
    """Each of the tokens [N, 1, C] through the head, as a picture of that token alone."""
    if before:  # towers with a class token pool from it, or skip it
        tokens = tokens.expand(-1, before + 1, -1)
    out: Tensor = tower.head(tower.trunk.forward_head(tokens))
    return out


def _timm_convolutional(tower: Any, pixels: Tensor) -> Looked:
    maps = tower.trunk.forward_features(pixels)
    B, C, h, w = maps.shape
    pooled = tower.head(tower.trunk.forward_head(maps))
    places = maps.permute(0, 2, 3, 1).reshape(-1, C, 1, 1)
    return Looked(pooled, _as_maps(tower.head(tower.trunk.forward_head(places)).reshape(B, h * w, -1), h, w))


def _correlate(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Values gathered from tokens with like queries and from those with like keys, half each: [B, N, C] of [B, heads, N, d]."""
    scale = 1 / math.sqrt(query.shape[-1])
    queries, keys = (((x * scale) @ x.transpose(-1, -2)).softmax(-1) for x in (query, key))
    mixed: Tensor = 0.5 * (queries + keys) @ value
    return mixed.transpose(1, 2).flatten(2)


def _positions(embedding: Tensor, grid: tuple[int, int], size: tuple[int, int], before: int) -> Tensor:
    """Position embeddings [before + h * w, C] for a grid of another size."""
    if tuple(grid) == tuple(size):
        return embedding
    own, places = embedding[:before], embedding[before:]
    maps = places.reshape(1, *grid, -1).permute(0, 3, 1, 2).float()
    maps = F.interpolate(maps, size=tuple(size), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([own, maps[0].flatten(1).T.to(embedding.dtype)])


def _as_maps(patches: Tensor, h: int, w: int) -> Tensor:
    return patches.transpose(1, 2).reshape(len(patches), -1, h, w)
