# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who asks: the bearer token of a request, its account, the address it came from."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer

from application import Application
from database.accounts import User, find_user
from security.tokens import Token, TokenInvalid

bearer = OAuth2PasswordBearer(tokenUrl="users/login", auto_error=False)
Bearer = Annotated[str | None, Depends(bearer)]
UNAUTHORIZED: dict[int | str, dict[str, Any]] = {
    401: {"description": "No access token, or one that is not valid"},
    429: {"description": "Too many requests; Retry-After says in how many seconds to try again"},
    503: {"description": "The database or Redis is not available"},
}
# Of routes with a JSON body: text that is JSON but not what is asked for is 422.
UNREADABLE: dict[int | str, dict[str, Any]] = {400: {"description": "The body cannot be read: it is no text"}}


@dataclass(frozen=True)
class Signed:
    """A request's account and the token that proved it."""

    user: User
    token: Token


def unauthorized(reason: str) -> HTTPException:
    """401 with what RFC 6750 asks for."""
    challenge = f'Bearer error="invalid_token", error_description="{reason}"'
    return HTTPException(401, reason, {"WWW-Authenticate": challenge})


def client_address(scope: Any) -> str:
    """The address of the client; the edge's word for it is taken only from a private network."""
    peer = (scope.get("client") or ("",))[0]
    forwarded = dict(scope["headers"]).get(b"x-real-ip", b"").decode("latin-1")
    try:
        if forwarded and ipaddress.ip_address(peer).is_private:
            return str(ipaddress.ip_address(forwarded))
    except ValueError:
        return peer
    return peer


class Gate:
    """Dependencies of routes that need an account."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def identify(self, text: str) -> Signed:
        """The account behind a token; raises TokenInvalid."""
        token = await self._application.tokens.verify(text)
        user = await find_user(self._application.engine, token.user_id)
        if user is None:
            raise TokenInvalid("the account does not exist")
        return Signed(user, token)

    def required(self) -> Callable[..., Awaitable[Signed]]:
        """401 without a valid token; counts against the account's own rate limit."""

        async def signed(text: Bearer) -> Signed:
            if text is None:
                raise HTTPException(401, "an access token is needed", {"WWW-Authenticate": "Bearer"})
            try:
                found = await self.identify(text)
            except TokenInvalid as error:
                raise unauthorized(str(error)) from error
            limit = self._application.settings.rate_limit_per_minute
            await self._application.limiter.take("user", str(found.user.id), limit)
            return found

        return signed

    def optional(self) -> Callable[..., Awaitable[Signed | None]]:
        """Nobody without a token; a token that is not valid is refused all the same."""
        required = self.required()

        async def signed(text: Bearer) -> Signed | None:
            return None if text is None else await required(text)

        return signed

    async def limit_login(self, request: Request, username: str = "") -> None:
        """Count an attempt to sign in, by address and by name: neither many names nor many addresses help."""
        limiter, limit = self._application.limiter, self._application.settings.rate_limit_login_per_minute
        await limiter.take("login-address", client_address(request.scope), limit)
        if username:
            await limiter.take("login-name", username, limit)
