"""The table of encoders; any `timm` model and any `hf-hub:` name works beyond it. No torch here.

Sources: METHODS §2.2; for published encoders their pages as given, and the constructor arguments
and resolutions as TRIDENT (a91fa84 and later) and slide2vec use them. Names of TRIDENT are names
or aliases here. Where an encoder was trained at several resolutions, `mpp` is None, so that none
is refused, and the remark says which.
"""

from typing import Any

from models.encoders.known import HUB, TIMM, Known

HALF = (0.5, 0.5, 0.5)
PAGES = "https://huggingface.co/"
MIXED = "trained at several magnifications, 5x to 40x"


def _hub(name: str, owner_name: str, architecture: str, dim: int, **facts: Any) -> Known:
    """Describe an encoder of a hub repository that holds the weights of a timm network."""
    where: dict[str, Any] = {"weights": HUB + owner_name, "page": PAGES + owner_name}
    return Known(name, TIMM + architecture, dim, **where, **facts)


def _kaiko(size: str, architecture: str, dim: int) -> Known:
    """Describe one of the networks of Aben et al. 2024, arXiv 2404.15217."""
    return _hub(
        f"kaiko-{size}",
        f"1aurent/{architecture}.kaiko_ai_towards_large_pathology_fms",
        architecture,
        dim,
        options={"img_size": 224},
        mean=HALF,
        std=HALF,
        licence="Kaiko non-commercial",
        method="dinov2" if size == "vitl14" else "dino",
        data=("TCGA",),
        remark=MIXED,
    )


_VIRCHOW = {
    "init_values": 1e-5,
    "mlp_ratio": 5.3375,
    "mlp_layer": "swiglu_packed",
    "act_layer": "silu",
}
_VIRCHOW2 = {
    "options": _VIRCHOW | {"reg_tokens": 4},
    "gated": True,
    "licence": "CC-BY-NC-ND-4.0",
    "method": "dinov2",
    "remark": MIXED,
}
_UNI2 = {
    "patch_size": 14,
    "embed_dim": 1536,
    "depth": 24,
    "num_heads": 24,
    "init_values": 1e-5,
    "mlp_ratio": 5.33334,
    "mlp_layer": "swiglu_packed",
    "act_layer": "silu",
    "reg_tokens": 8,
    "no_embed_class": True,
}
_GIGAPATH = {
    "patch_size": 16,
    "embed_dim": 1536,
    "depth": 40,
    "num_heads": 24,
    "mlp_ratio": 5.33334,
    "img_size": 224,
}
_HOPTIMUS = {
    "options": {"img_size": 224, "init_values": 1e-5},
    "mpp": 0.5,
    "gated": True,
    "method": "dinov2",
    "mean": (0.707223, 0.578729, 0.703617),
    "std": (0.211883, 0.230117, 0.177517),
}

TABLE: tuple[Known, ...] = (
    Known(
        "resnet50",
        "timm:resnet50",
        2048,
        weights="timm:resnet50",
        licence="Apache-2.0",
        page=PAGES + "timm/resnet50.a1_in1k",
        method="imagenet",
        data=("ImageNet-1k",),
        remark="TRIDENT's resnet50 is --layer stage3 of resnet50.tv_in1k",
    ),
    Known(
        "ctranspath-swin-tiny",
        "ctranspath-swin-tiny",
        768,
        licence="GPL-3.0",
        page="https://github.com/Xiyue-Wang/TransPath",
        method="srcl",
        data=("TCGA", "PAIP"),
        sha256="7c998680",
        remark="exactly 224 px; weights: give the published ctranspath.pth",
        aliases=("ctranspath",),
    ),
    Known(
        "vit-small-8",
        "timm:vit_small_patch8_224",
        384,
        weights="timm:vit_small_patch8_224.dino",
        licence="Apache-2.0",
        page=PAGES + "timm/vit_small_patch8_224.dino",
        method="dino",
        data=("ImageNet-1k",),
    ),
    Known(
        "vit-small-16-moco",
        "vit-small-16-moco",
        384,
        licence="CC-BY-NC-4.0",
        page="https://github.com/facebookresearch/moco-v3",
        method="mocov3",
        data=("ImageNet-1k",),
        remark="12 heads, fixed positions; weights: give the published file",
    ),
    _hub(
        "lunit-vits8",
        "1aurent/vit_small_patch8_224.lunit_dino",
        "vit_small_patch8_224",
        384,
        mean=(0.70322989, 0.53606487, 0.66096631),
        std=(0.21716536, 0.26081574, 0.20723464),
        licence="Lunit non-commercial",
        method="dino",
        data=("TCGA", "TULIP"),
        remark="trained at 20x and 40x",
    ),
    _kaiko("vits8", "vit_small_patch8_224", 384),
    _kaiko("vits16", "vit_small_patch16_224", 384),
    _kaiko("vitb8", "vit_base_patch8_224", 768),
    _kaiko("vitb16", "vit_base_patch16_224", 768),
    _kaiko("vitl14", "vit_large_patch14_reg4_dinov2", 1024),
    _hub(
        "uni_v1",
        "MahmoodLab/UNI",
        "vit_large_patch16_224",
        1024,
        options={"init_values": 1e-5},
        mpp=0.5,
        gated=True,
        licence="CC-BY-NC-ND-4.0",
        method="dinov2",
        data=("Mass-100K",),
        aliases=("uni",),
    ),
    _hub(
        "uni_v2",
        "MahmoodLab/UNI2-h",
        "vit_giant_patch14_224",
        1536,
        options=_UNI2,
        mpp=0.5,
        gated=True,
        licence="CC-BY-NC-ND-4.0",
        method="dinov2",
        aliases=("uni2", "uni2-h"),
    ),
    _hub(
        "virchow",
        "paige-ai/Virchow",
        "vit_huge_patch14_224",
        2560,
        options=_VIRCHOW,
        usual="cls+mean",
        mpp=0.5,
        gated=True,
        licence="Apache-2.0",
        method="dinov2",
    ),
    _hub(
        "virchow2",
        "paige-ai/Virchow2",
        "vit_huge_patch14_224",
        2560,
        usual="cls+mean",
        **_VIRCHOW2,
    ),
    _hub(
        "virchow2-cls",
        "paige-ai/Virchow2",
        "vit_huge_patch14_224",
        1280,
        usual="cls",
        **_VIRCHOW2,
    ),
    _hub(
        "gigapath",
        "prov-gigapath/prov-gigapath",
        "vit_giant_patch14_dinov2",
        1536,
        options=_GIGAPATH,
        mpp=0.5,
        gated=True,
        licence="Apache-2.0",
        method="dinov2",
        data=("Prov-Path",),
    ),
    _hub(
        "hoptimus0",
        "bioptimus/H-optimus-0",
        "vit_giant_patch14_reg4_dinov2",
        1536,
        licence="Apache-2.0",
        aliases=("h-optimus-0",),
        **_HOPTIMUS,
    ),
    _hub(
        "hoptimus1",
        "bioptimus/H-optimus-1",
        "vit_giant_patch14_reg4_dinov2",
        1536,
        licence="CC-BY-NC-ND-4.0",
        aliases=("h-optimus-1",),
        **_HOPTIMUS,
    ),
)


def known_encoders() -> tuple[Known, ...]:
    """Give the table, in the order in which it is shown."""
    return TABLE


def find_known(name: str) -> Known | None:
    """Find a row by name, alias or place of its weights; capitals do not matter."""
    asked = name.lower().removeprefix(HUB)
    for row in TABLE:
        published = [row.weights] if row.weights and row.weights.startswith(HUB) else []
        names = (*row.names, *(place.removeprefix(HUB) for place in published))
        if asked in (known.lower() for known in names):
            return row
    return None
