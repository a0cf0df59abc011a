"""`microtome pretrain`: train an encoder without labels on the patches of archives."""

from workflows.pretraining.config import PretrainConfig

__all__ = ["PretrainConfig"]
