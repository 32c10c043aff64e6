"""/v1/tokens: what domain administrators log in with. For the platform's administrator only."""

from dataclasses import asdict

from fastapi import APIRouter

from services.popauth.desk import Desk
from services.popauth.models import NewToken, TokenMade, TokenShown
from services.popauth.tokens import Token
from tubepost.admin import Admin, protected


def router(desk: Desk) -> APIRouter:
    """All of them."""
    routes = protected()

    @routes.get("/tokens", summary="The tokens of domain administrators")
    async def list_tokens() -> list[TokenShown]:
        return [_shown(token) for token in desk.tokens.every()]

    @routes.post("/tokens", status_code=201, summary="Make a token; the only time it is shown")
    async def add_token(new: NewToken, who: Admin) -> TokenMade:
        names = [(await desk.domains.get(text))[0].name for text in new.domains]
        text, token = await desk.tokens.add(new.name, names, new.expires, who.name)
        return TokenMade(**_shown(token).model_dump(), token=text)

    @routes.delete("/tokens/{token_id}", status_code=204, summary="Revoke a token")
    async def revoke_token(token_id: str, who: Admin) -> None:
        await desk.tokens.revoke(token_id, who.name)

    return routes


def _shown(token: Token) -> TokenShown:
    return TokenShown(**asdict(token))
