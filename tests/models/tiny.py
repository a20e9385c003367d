"""Randomly initialised pipelines of every family, a few thousand weights each, saved as users have them: in folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import transformers
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    AutoencoderKLQwenImage21,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    QwenImage21Pipeline,
    QwenImage21Transformer2DModel,
    QwenImageEditPlusPipeline,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM, Qwen3Model
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

WORDS = ["a", "an", "the", "red", "green", "blue", "circle", "square", "star", "three", "make", "it", "bright", "dull", "end"]
VISION = {f"{n}_token_id": f"<|{n}{'_pad' * ('vision' not in n)}|>" for n in ("image", "video", "vision_start", "vision_end")}
MARKS = ["<|im_start|>", "<|im_end|>", "<think>", "</think>", *VISION.values()]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content if m.content is string else m.content[0].text }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
WORD = r"\n|[\w'-]+|[^\w\s]"


def tokenizer(*texts: str, limit: int = 10**30, **special: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer of one token a word, as real ones have for common words: so templates have their real lengths."""
    words = list(dict.fromkeys([*WORDS, "system", "user", "assistant", *re.findall(WORD, " ".join(["\n.,:", *texts]))]))
    vocabulary = {w: i for i, w in enumerate(["<pad>", "<unk>", *MARKS, *special.values(), *words])}
    model = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    model.pre_tokenizer = Split(Regex(WORD), "removed", invert=True)
    model.add_special_tokens([*MARKS, *special.values()])
    return PreTrainedTokenizerFast(
        tokenizer_object=model, unk_token="<unk>", pad_token="<pad>", model_max_length=limit, chat_template=CHAT, **special
    )


def seeded(seed: int = 0) -> None:
    torch.manual_seed(seed)


def lively(pipeline: Any) -> Any:
    """Make the weights large enough that words and noise show in the picture: fresh ones nearly cancel out."""
    generator = torch.Generator().manual_seed(0)
    for name in ("transformer", "unet"):
        for weight in getattr(pipeline, name).parameters() if hasattr(pipeline, name) else ():
            if weight.ndim > 1:
                weight.data = torch.randn(weight.shape, generator=generator) * weight.shape[1:].numel() ** -0.5
            elif weight.abs().max() == 0:
                weight.data = torch.randn(weight.shape, generator=generator) * 0.1
    return pipeline


def qwen3(kind: type, words: int, **more: Any) -> Any:
    return kind(
        Qwen3Config(
            vocab_size=words,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=512,
            **more,
        )
    ).eval()


KL_BLOCKS = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}


def z_image() -> ZImagePipeline:
    seeded()
    tok = tokenizer()
    return lively(
        ZImagePipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=AutoencoderKL(
                block_out_channels=(8, 8, 16, 16),
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=1,
                latent_channels=4,
                norm_num_groups=4,
                mid_block_add_attention=False,
                scaling_factor=0.5,
                shift_factor=0.1,
            ).eval(),
            text_encoder=qwen3(Qwen3Model, len(tok)),
            tokenizer=tok,
            transformer=ZImageTransformer2DModel(
                in_channels=4,
                dim=32,
                n_layers=2,
                n_refiner_layers=1,
                n_heads=2,
                n_kv_heads=2,
                cap_feat_dim=32,
                axes_dims=[4, 6, 6],
                axes_lens=[256, 32, 32],
            ).eval(),
        )
    )


def qwen_vl(kind: str, tok: PreTrainedTokenizerFast) -> Any:
    """Return a vision-language model of Qwen2.5 or Qwen3."""
    text = {
        "vocab_size": len(tok),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
    }
    sight = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32, "patch_size": 14}
    if kind == "Qwen3VL":
        text |= {"head_dim": 8}
        sight |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0], "patch_size": 16}
    else:
        sight |= {"fullatt_block_indexes": [1], "window_size": 56}
    marks = {name: tok.convert_tokens_to_ids(mark) for name, mark in VISION.items()}
    config = getattr(transformers, f"{kind}Config")(text_config=text, vision_config=sight, **marks)
    return getattr(transformers, f"{kind}ForConditionalGeneration")(config).eval()


def qwen_parts(tok: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
        "vae": AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ).eval(),
        "text_encoder": qwen_vl("Qwen2_5_VL", tok),
        "tokenizer": tok,
        "transformer": QwenImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            axes_dims_rope=(4, 6, 6),
        ).eval(),
    }


QWEN_WORDS = (
    "Describe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of the objects and "
    "background: Picture 1:"
)


def qwen_image() -> QwenImagePipeline:
    seeded()
    return lively(QwenImagePipeline(**qwen_parts(tokenizer(QWEN_WORDS))))


def flux2_vae() -> AutoencoderKLFlux2:
    return AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
    ).eval()


def flux2_transformer(guidance_embeds: bool = False) -> Flux2Transformer2DModel:
    return Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=96,
        timestep_guidance_channels=32,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 4, 4, 4),
    ).eval()


def flux2_klein(is_distilled: bool = True) -> Flux2KleinPipeline:
    seeded()
    tok = tokenizer()
    return lively(
        Flux2KleinPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=flux2_vae(),
            text_encoder=qwen3(Qwen3ForCausalLM, len(tok)),
            tokenizer=tok,
            transformer=flux2_transformer(),
            is_distilled=is_distilled,
        )
    )


EDIT_WORDS = (
    "Describe the key features of the input image (color, shape, size, texture, objects, background), then explain how the "
    "user's text instruction should alter or modify the image. Generate a new image that meets the user's requirements while "
    "maintaining consistency with the original input where appropriate. Picture 1:"
)


def processor_class(name: str) -> type:
    """Return a processor of transformers that does without its video part, which needs torchvision."""
    base = getattr(transformers, name)

    def check(self: Any, argument_name: str, argument: Any) -> Any:
        return None if argument is None else base.check_argument_for_proper_class(self, argument_name, argument)

    def load(cls: type, folder: str, **_: Any) -> Any:
        eyes, words = Qwen2VLImageProcessorPil.from_pretrained(folder), PreTrainedTokenizerFast.from_pretrained(folder)
        return cls(eyes, words, None, chat_template=CHAT)

    def save(self: Any, folder: str, **_: Any) -> None:
        for part in (self.image_processor, self.tokenizer):
            part.save_pretrained(folder)

    methods = {
        "save_pretrained": save,
        "check_argument_for_proper_class": check,
        "from_pretrained": classmethod(load),
        "__module__": base.__module__,
    }
    return type(name, (base,), methods)


def sight(name: str, tok: PreTrainedTokenizerFast, patch: int) -> Any:
    """Return a processor that shrinks pictures to about 128x128 pixels."""
    sizes = {"shortest_edge": 4 * patch**2, "longest_edge": 128 * 128}
    eyes = Qwen2VLImageProcessorPil(patch_size=patch, merge_size=2, size=sizes)
    return processor_class(name)(eyes, tok, None, chat_template=CHAT)


def qwen_image_edit_plus() -> QwenImageEditPlusPipeline:
    seeded()
    tok = tokenizer(EDIT_WORDS)
    return lively(QwenImageEditPlusPipeline(**qwen_parts(tok), processor=sight("Qwen2VLProcessor", tok, 14)))


def qwen_image_21() -> QwenImage21Pipeline:
    seeded()
    tok = tokenizer("Comprehend and analyze the provided prompt. image1 image2 < >")
    return lively(
        QwenImage21Pipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=AutoencoderKLQwenImage21(
                base_dim=8,
                decoder_base_dim=8,
                z_dim=4,
                dim_mult=[1, 1, 1, 1, 1],
                num_res_blocks=1,
                temperal_downsample=[False, True, True, True],
                latents_mean=[0.0] * 4,
                latents_std=[1.0] * 4,
            ).eval(),
            text_encoder=qwen_vl("Qwen3VL", tok),
            processor=sight("Qwen3VLProcessor", tok, 16),
            transformer=QwenImage21Transformer2DModel(
                in_channels=4,
                out_channels=4,
                num_layers=2,
                attention_head_dim=16,
                num_attention_heads=2,
                context_in_dim=32,
                axes_dims_rope=(4, 6, 6),
            ).eval(),
        )
    )


def flux2() -> Flux2Pipeline:
    """Return a pipeline with a tokenizer for its processor, which needs torchvision: without pictures they do the same."""
    from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    seeded()
    tok = tokenizer(SYSTEM_MESSAGE, bos_token="<s>")
    tok.chat_template = "<s>" + CHAT
    text = {
        "model_type": "mistral",
        "vocab_size": len(tok),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    sees = {"model_type": "pixtral", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Mistral3Config(text_config=text, vision_config={**sees, "head_dim": 16}, image_token_index=1)
    return lively(
        Flux2Pipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=flux2_vae(),
            text_encoder=Mistral3ForConditionalGeneration(config).eval(),
            tokenizer=tok,
            transformer=flux2_transformer(guidance_embeds=True),
        )
    )


def stable_diffusion() -> StableDiffusionPipeline:
    """Return a pipeline that has no row in the table."""
    from transformers import CLIPTextConfig, CLIPTextModel

    seeded()
    tok = tokenizer(limit=16)
    return lively(
        StableDiffusionPipeline(
            vae=AutoencoderKL(block_out_channels=(8, 8), latent_channels=4, norm_num_groups=4, **KL_BLOCKS).eval(),
            text_encoder=CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=len(tok),
                    hidden_size=32,
                    intermediate_size=37,
                    num_hidden_layers=2,
                    num_attention_heads=4,
                    max_position_embeddings=16,
                )
            ).eval(),
            tokenizer=tok,
            unet=UNet2DConditionModel(
                sample_size=16,
                block_out_channels=(8, 16),
                layers_per_block=1,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                cross_attention_dim=32,
                attention_head_dim=4,
                norm_num_groups=4,
            ).eval(),
            scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def saved(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder)
    return folder
