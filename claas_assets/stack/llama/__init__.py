"""A lean engine for Llama-shaped models: forward pass, key-value cache, and what was measured to agree."""

from claas_assets.stack.llama.backend import LlamaBackend
from claas_assets.stack.llama.forward import supports
