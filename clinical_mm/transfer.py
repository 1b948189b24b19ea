"""How much of an encoder learns: all of it, its last blocks, low-rank adapters beside it, or nothing.

Adapters are for training alone: they are merged into the weights they stand beside before a model is saved.
Source of the adapters: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021 (arXiv:2106.09685).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from clinical_mm.config import Learning, LoraOptions
from clinical_mm.errors import InvalidConfig
from clinical_mm.modalities.base import Encoder


def restrict(name: str, encoder: Encoder, learning: Learning) -> list[nn.Module]:
    """Let only that part of an encoder learn which ``learning`` asks for; with ``lora`` it gets its adapters.

    Args:
        name: the modality's, for messages.
        encoder: changed in place: which parameters ask for a gradient, and with ``lora`` its modules.
        learning: how much.

    Returns:
        The modules that stay in evaluation mode: their dropout and their batch statistics are as they were learned.

    Raises:
        InvalidConfig: the encoder has no such blocks, or takes no adapters.
    """
    if learning.learns == "all":
        return []
    encoder.requires_grad_(requires_grad=False)
    if learning.learns == "last":
        return _leave_the_last(name, encoder, learning.last_blocks)
    if learning.learns == "lora":
        _add_adapters(name, encoder, learning.lora)
    return list(encoder.modules())


def merge_adapters(encoder: nn.Module) -> None:
    """Add each adapter's product to the weight it stands beside, and take it away: the names are the plain ones again.

    What learned stops doing so. A network without adapters stays as it is.
    """
    from peft.tuners.lora import LoraLayer

    for path, layer in [(p, m) for p, m in encoder.named_modules() if isinstance(m, LoraLayer)]:
        layer.merge()
        encoder.set_submodule(path, layer.get_base_layer())


def parameter_counts(module: nn.Module) -> dict[str, int]:
    """``trainable`` and ``all`` parameters of a module, adapters among them."""
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return {"trainable": sum(size for size, learns in sizes if learns), "all": sum(size for size, _ in sizes)}


def _leave_the_last(name: str, encoder: Encoder, count: int) -> list[nn.Module]:
    blocks = encoder.blocks()
    if count > len(blocks):
        has = f"has {len(blocks)} blocks" if blocks else "has no blocks to tell apart"
        raise InvalidConfig(f"{name}.last_blocks: {count} of them were to learn, and this encoder {has}")
    last = nn.ModuleList(blocks[-count:]).requires_grad_(requires_grad=True)
    learning = {id(part) for part in last.modules()}
    # The encoder itself is no layer: its mode tells that a training is on, so that absent images are kept apart.
    return [part for part in encoder.modules() if part is not encoder and id(part) not in learning]


def _add_adapters(name: str, encoder: Encoder, options: LoraOptions) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    targets = encoder.adaptable()
    if not targets:
        raise InvalidConfig(f"{name}.learns: this encoder takes no adapters; say all, last or nothing")
    # What peft shows of its options depends on its version; these three are LoRA's own.
    config: Any = LoraConfig(r=options.rank, lora_alpha=options.alpha, target_modules=targets)
    try:
        inject_adapter_in_model(config, encoder)
    except (ValueError, NotImplementedError) as error:
        raise InvalidConfig(f"{name}.lora: no adapters for this encoder: {error}") from error
