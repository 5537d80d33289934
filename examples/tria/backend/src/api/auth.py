# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accounts and access tokens: register, sign in, demo, refresh, sign out, debug."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, Form, HTTPException, Request
from pydantic import BaseModel, Field, SecretStr, StringConstraints

from api.security import UNAUTHORIZED, UNREADABLE, Bearer, Gate, Signed
from application import Application
from database.accounts import NameTaken, User, create_user, expired_demo_users, find_credentials
from database.personal_data import as_account
from security.passwords import hash_password, verify_password
from security.tokens import ALGORITHM, TokenInvalid

Username = Annotated[str, StringConstraints(min_length=3, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@+-]*$")]
Password = Annotated[SecretStr, Field(min_length=12, max_length=128)]
# Signing in must not tell which rule a name or password breaks.
AnyText = Annotated[str, StringConstraints(max_length=1024)]
_DEMO_LIVES = timedelta(days=1)
_DEMO_SWEPT_AT_ONCE = 20
_SUPABASE_SECONDS = 4.0


class Registration(BaseModel):
    """A new account."""

    username: Username
    password: Password


class Credentials(BaseModel):
    """What signs an account in."""

    username: AnyText
    password: AnyText


class Account(BaseModel):
    """An account, as its owner sees it."""

    id: str
    username: str
    demo: bool
    created_at: str


class AccessToken(BaseModel):
    """A token for `Authorization: Bearer`; `expires_in` in seconds."""

    access_token: str
    token_type: str
    expires_in: int
    user: Account


class _Accounts:
    """What the routes do."""

    def __init__(self, application: Application, gate: Gate) -> None:
        self.application = application
        self.gate = gate

    def token(self, user: User) -> dict[str, Any]:
        tokens = self.application.tokens
        return {"access_token": tokens.issue(user.id), "token_type": "bearer", "expires_in": tokens.seconds,
                "user": as_account(user)}

    async def register(self, username: str, password: str) -> User:
        try:
            user = await create_user(self.application.engine, username, await hash_password(password))
        except NameTaken as error:
            raise HTTPException(409, "this user name is taken") from error
        self.application.analytics.record("account registered", user.id)
        return user

    async def login(self, request: Request, username: str, password: str) -> dict[str, Any]:
        await self.gate.limit_login(request, username)
        # No account has a name beyond ASCII, and the database could not be asked for some of them.
        storable = username.isascii() and "\x00" not in username
        found = await find_credentials(self.application.engine, username) if storable else None
        user, stored = found or (None, None)
        valid = await verify_password(password, stored)
        if user is None or not valid:
            self.application.on_failed_login()
            raise HTTPException(401, "user name or password is wrong", {"WWW-Authenticate": "Bearer"})
        self.application.analytics.record("signed in", user.id)
        return self.token(user)

    async def demo(self, request: Request) -> dict[str, Any]:
        await self.gate.limit_login(request)
        engine = self.application.engine
        for user in await expired_demo_users(engine, _DEMO_LIVES, _DEMO_SWEPT_AT_ONCE):
            await self.application.personal_data.erase(user)
        return self.token(await create_user(engine, f"demo-{secrets.token_hex(8)}", None, demo=True))


def auth_router(application: Application, gate: Gate) -> APIRouter:
    """/users/..., /demo-login; /debug-auth outside production."""
    router = APIRouter(tags=["auth"], responses=UNAUTHORIZED)
    accounts = _Accounts(application, gate)
    signed_in = Depends(gate.required())

    @router.post("/users/register", status_code=201, response_model=Account,
                 responses={**UNREADABLE, 409: {"description": "The user name is taken"}})
    async def register(registration: Registration, request: Request) -> dict[str, Any]:
        """Make an account."""
        await gate.limit_login(request)
        return as_account(await accounts.register(registration.username, registration.password.get_secret_value()))

    @router.post("/users/login", response_model=AccessToken)
    async def login(request: Request, username: Annotated[AnyText, Form()],
                    password: Annotated[AnyText, Form()]) -> dict[str, Any]:
        """Sign in with a form, as OAuth's password grant has it."""
        return await accounts.login(request, username, password)

    @router.post("/users/login-json", response_model=AccessToken, responses=UNREADABLE)
    async def login_json(request: Request, credentials: Credentials) -> dict[str, Any]:
        """Sign in with a JSON body."""
        return await accounts.login(request, credentials.username, credentials.password)

    @router.get("/users/profile", response_model=Account)
    async def profile(signed: Signed = signed_in) -> dict[str, Any]:
        """The account that is signed in."""
        return as_account(signed.user)

    @router.post("/users/refresh", response_model=AccessToken)
    async def refresh(signed: Signed = signed_in) -> dict[str, Any]:
        """A new token for a valid one, which is revoked."""
        await application.tokens.revoke(signed.token)
        return accounts.token(signed.user)

    @router.post("/users/logout", status_code=204)
    async def logout(signed: Signed = signed_in) -> None:
        """Revoke the token."""
        await application.tokens.revoke(signed.token)

    @router.get("/users/supabase-auth-health")
    async def supabase() -> dict[str, Any]:
        """Whether Supabase is configured, and whether its Auth service answers."""
        return await _supabase_health(application)

    _add_demo(router, application, accounts)
    if application.settings.environment != "production":
        _add_debug(router, gate)
    return router


def _add_demo(router: APIRouter, application: Application, accounts: _Accounts) -> None:
    closed: dict[int | str, dict[str, Any]] = {404: {"description": "The demo login is switched off"}}

    def opened() -> None:
        if not application.settings.enable_demo_login:
            raise HTTPException(404, "the demo login is switched off")

    @router.get("/demo-login", responses=closed, dependencies=[Depends(opened)])
    async def demo_state() -> dict[str, Any]:
        """Whether there is a demo login, and how to use it."""
        return {"available": True, "method": "POST", "expires_in": application.tokens.seconds}

    @router.post("/demo-login", response_model=AccessToken, responses=closed, dependencies=[Depends(opened)])
    async def demo_login(request: Request) -> dict[str, Any]:
        """A demo account of one's own, and its token; it is removed with all its data after a day."""
        return await accounts.demo(request)


def _add_debug(router: APIRouter, gate: Gate) -> None:
    @router.get("/debug-auth")
    async def debug_auth(text: Bearer) -> dict[str, Any]:
        """What becomes of the token that was sent. Not there in production."""
        document: dict[str, Any] = {"authenticated": False, "token_sent": text is not None, "algorithm": ALGORITHM}
        if text is None:
            return document
        try:
            signed = await gate.identify(text)
        except TokenInvalid as error:
            return {**document, "reason": str(error)}
        return {**document, "authenticated": True, "user": as_account(signed.user), "expires": signed.token.expires}


async def _supabase_health(application: Application) -> dict[str, Any]:
    settings = application.settings
    if not (settings.supabase_url and settings.supabase_anon_key):
        return {"configured": False}
    headers = {"apikey": settings.supabase_anon_key}
    try:
        async with httpx.AsyncClient(timeout=_SUPABASE_SECONDS) as http:
            answer = await http.get(f"{settings.supabase_url}/auth/v1/health", headers=headers)
    except httpx.HTTPError as error:
        return {"configured": True, "healthy": False, "error": type(error).__name__}
    return {"configured": True, "healthy": answer.status_code == 200, "status": answer.status_code}
