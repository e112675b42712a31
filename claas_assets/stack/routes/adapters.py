"""Adapters: made, listed, exported, deleted, and how often they were updated."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response

from claas_assets import wire
from claas_assets.stack.adapters import AdapterInfo
from claas_assets.stack.places import canonical_model
from claas_assets.stack.state import State


def router(state: State) -> APIRouter:
    routes = APIRouter()
    engine = state.engine

    @routes.post("/v1/lora/init")
    async def init(body: wire.LoraInitRequest) -> wire.LoraInitResponse:
        if body.base_model is not None and canonical_model(body.base_model) != state.base_model:
            raise HTTPException(
                403,
                f"base_model {body.base_model!r} is not allowed: this stack serves {state.base_model!r}",
            )
        made: tuple[AdapterInfo, int] = await asyncio.wrap_future(
            engine.create_adapter(body.lora_id, body.lora_r, body.lora_alpha, body.target_modules)
        )
        info, replaced = made
        said = {"replaced_updates": replaced} if replaced else {}  # an adapter of that name was trained; it is gone
        return wire.LoraInitResponse.model_validate({"lora_id": info.lora_id, **said})

    @routes.get("/v1/lora")
    async def list_adapters(prefix: str = "") -> wire.LoraListResponse:
        return wire.LoraListResponse(loras=engine.store.list(prefix))

    @routes.delete("/v1/lora")
    async def delete(lora_id: Annotated[str, Query()]) -> wire.LoraDeleteResponse:
        deleted = await asyncio.wrap_future(engine.delete_adapter(lora_id))
        return wire.LoraDeleteResponse(deleted=deleted)

    @routes.get("/v1/lora/export")
    async def export(lora_id: Annotated[str, Query()]) -> Response:
        content = await asyncio.to_thread(engine.store.export, lora_id)
        headers = {"Content-Disposition": f'attachment; filename="{wire.model_name(lora_id)}.zip"'}
        return Response(content, media_type="application/zip", headers=headers)

    @routes.get("/v1/lora/status")
    async def status(lora_id: Annotated[str, Query()]) -> wire.LoraStatusResponse:
        info = engine.store.info(lora_id)
        return wire.LoraStatusResponse(lora_id=info.lora_id, updates=info.updates, base_model=info.base_model)

    return routes
