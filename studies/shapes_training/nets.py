"""The parts of the shapes image model, all stock classes of diffusers and transformers, before training.

The pipeline is the one of Z-Image: a causal text encoder, a single-stream diffusion transformer on the latents of a
small autoencoder, and a flow-matching Euler scheduler.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

from gems.models.shapes.language import NUMBERS, plural
from gems.models.shapes.world import CELLS, COLORS, RELATIONS, SHAPES

MAX_TOKENS = 32
"""Longest prompt the model was trained on, in tokens: six placed things take 30."""

LATENT_CHANNELS = 4
TEXT_DIM = 128
DIM = 192


def _word(phrase: str) -> str:
    return phrase.replace(" ", "_")


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the word-level tokenizer: one token a word, a position or a relation; articles of places are dropped."""
    words = ["<pad>", "<bos>", "<unk>", ",", "and", "a", *NUMBERS, *COLORS, *SHAPES, *(plural(s, 2) for s in SHAPES)]
    words += [_word(c) for c in CELLS] + [_word(r) for r in RELATIONS]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    steps: list[normalizers.Normalizer] = [normalizers.Lowercase()]
    steps += [normalizers.Replace(Regex(r"\b(centre|middle)\b"), "center"), normalizers.Replace(Regex(r"\ban\b"), "a")]
    steps += [normalizers.Replace(phrase, _word(phrase)) for phrase in (*CELLS, *RELATIONS) if " " in phrase]
    steps.append(normalizers.Replace(Regex(r"\b(at|in|on|to|the|corner)\b"), " "))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        unk_token="<unk>",
        model_max_length=MAX_TOKENS,
        chat_template="{% for m in messages %}{{ m.content }}{% endfor %}",
    )


def build_text_encoder(vocabulary: int) -> Qwen3Model:
    """Build the causal text encoder; Z-Image reads its last hidden state but one."""
    return Qwen3Model(
        Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=TEXT_DIM,
            intermediate_size=3 * TEXT_DIM,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=TEXT_DIM // 4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
        )
    )


def build_vae() -> AutoencoderKL:
    """Build the autoencoder: 128x128 RGB to 16x16 latents and back."""
    blocks = (8, 16, 32, 64)
    return AutoencoderKL(
        block_out_channels=blocks,
        down_block_types=("DownEncoderBlock2D",) * len(blocks),
        up_block_types=("UpDecoderBlock2D",) * len(blocks),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=1.0,
        shift_factor=0.0,
    )


def build_transformer() -> ZImageTransformer2DModel:
    """Build the diffusion transformer: 64 image tokens and 32 text tokens in one stream."""
    transformer = ZImageTransformer2DModel(
        all_patch_size=(2,),
        in_channels=LATENT_CHANNELS,
        dim=DIM,
        n_layers=5,
        n_refiner_layers=1,
        n_heads=4,
        n_kv_heads=4,
        cap_feat_dim=TEXT_DIM,
        axes_dims=[8, 20, 20],
        axes_lens=[128, 32, 32],
    )
    for pad in (transformer.x_pad_token, transformer.cap_pad_token):
        torch.nn.init.normal_(pad, std=0.02)  # diffusers leaves them uninitialised
    return transformer


def assemble(
    vae: AutoencoderKL, text_encoder: Qwen3Model, transformer: ZImageTransformer2DModel, shift: float = 1.0
) -> ZImagePipeline:
    """Put the trained parts together as an ordinary `ZImagePipeline`."""
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=build_tokenizer(),
        transformer=transformer,
    )
