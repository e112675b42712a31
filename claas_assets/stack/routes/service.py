"""What the stack is, how it feels, and which models it has."""

from typing import Any

from fastapi import APIRouter

from claas_assets import __version__, wire
from claas_assets.stack.state import State


def router(state: State) -> APIRouter:
    routes = APIRouter()
    engine = state.engine

    @routes.get("/")
    async def root() -> wire.RootResponse:
        return wire.RootResponse(
            name="CLaaS embedded",
            version=__version__,
            description="A CLaaS server for one machine",
            docs="/docs",
        )

    @routes.get("/health")
    @routes.get("/v1/health")
    async def health() -> dict[str, Any]:
        """Beside the contract's fields: the model, and how requests are kept apart."""
        alive = engine.alive
        return {
            "status": "healthy" if alive else "degraded",
            "worker": {"status": "healthy" if alive else "unhealthy", "error": engine.failure},
            "base_model": state.base_model,
            "version": __version__,
            "determinism": engine.backend.determinism,
            "dtype": str(engine.backend.dtype).removeprefix("torch."),
            "score_dtype": str(engine.backend.score_dtype).removeprefix("torch."),
        }

    @routes.get("/v1/models")
    async def models() -> wire.ModelsResponse:
        cards = [_card(state, None), *(_card(state, lora_id) for lora_id in engine.store.list(""))]
        return wire.ModelsResponse(data=cards)

    @routes.get("/v1/models/{model:path}")
    async def model(model: str) -> wire.ModelCard:
        return _card(state, state.adapter_of(model))

    return routes


def _card(state: State, lora_id: str | None) -> wire.ModelCard:
    """A model as OpenAI lists it: `created` is when its weights were last written (the base model: loaded)."""
    name = state.base_model if lora_id is None else wire.model_name(lora_id)
    created = state.began if lora_id is None else state.engine.store.written(lora_id)
    return wire.ModelCard.model_validate({"id": name, "created": created, "owned_by": "claas_assets"})
