# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Access tokens: JSON Web Tokens signed with HS256, for one issuer and one audience, revocable by their ID."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

import jwt
from redis.asyncio import Redis

ALGORITHM = "HS256"
ISSUER = "tria"
AUDIENCE = "tria-api"
_CLAIMS = ["iss", "aud", "sub", "iat", "exp", "jti"]


class TokenInvalid(Exception):
    """The token cannot be accepted; the text says why, in the words of an OAuth error description."""


@dataclass(frozen=True)
class Token:
    """A verified token. `expires` is in seconds since the epoch."""

    user_id: uuid.UUID
    token_id: str
    expires: int


class TokenIssuer:
    """Signs and verifies; `minutes` is how long a token lives."""

    def __init__(self, secret: str, minutes: int, redis: Redis) -> None:
        self._secret = secret
        self.seconds = minutes * 60
        self._redis = redis

    def issue(self, user_id: uuid.UUID) -> str:
        """A new token for this account."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(user_id), "iat": now, "exp": now + self.seconds,
                  "jti": uuid.uuid4().hex}
        return jwt.encode(claims, self._secret, ALGORITHM)

    async def verify(self, text: str) -> Token:
        """The token's content; raises TokenInvalid for a wrong signature, claim or time, and for a revoked token."""
        try:
            claims = jwt.decode(text, self._secret, [ALGORITHM], issuer=ISSUER, audience=AUDIENCE,
                                options={"require": _CLAIMS})
            token = Token(uuid.UUID(claims["sub"]), str(claims["jti"]), int(claims["exp"]))
        except jwt.ExpiredSignatureError as error:
            raise TokenInvalid("the token has expired") from error
        except (jwt.InvalidTokenError, ValueError) as error:
            raise TokenInvalid("the token is not valid") from error
        if await self._redis.exists(self._key(token)):
            raise TokenInvalid("the token was revoked")
        return token

    async def revoke(self, token: Token) -> None:
        """Accept this token no more."""
        await self._redis.set(self._key(token), "1", exat=token.expires + 1)

    @staticmethod
    def _key(token: Token) -> str:
        return f"revoked:{token.token_id}"
