"""A backbone too small to matter, for what is measured beside training."""

from __future__ import annotations

from pathlib import Path

from tokcls.model.backbones import find_backbone


def tiny_backbone(folder: Path) -> Path:
    """Save a two-layer BERT with random weights, and MiniLM's own tokenizer, into `folder`."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    from tokcls.model.loader import quiet_transformers

    tokenizer = AutoTokenizer.from_pretrained(find_backbone("minilm-l6").folder)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(13)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    with quiet_transformers():
        BertModel(config).save_pretrained(folder)
    return folder
