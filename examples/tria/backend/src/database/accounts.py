# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accounts, what they uploaded, what is stored about them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from database.tables import contents, conversations, messages, users


class NameTaken(Exception):
    """Somebody has this user name."""


@dataclass(frozen=True)
class User:
    """An account. Conversations that it has while signed in are stored under `conversation_owner`."""

    id: uuid.UUID
    username: str
    demo: bool
    created_at: datetime

    @property
    def conversation_owner(self) -> str:
        # No user_id of a request may begin with @, so nobody can pass for an account.
        return f"@{self.id}"


_USER = (users.c.id, users.c.username, users.c.demo, users.c.created_at)


async def create_user(engine: AsyncEngine, username: str, password_hash: str | None, demo: bool = False) -> User:
    """A new account; raises NameTaken. One without a password is only ever reached by the token it was made with."""
    values = {"id": uuid.uuid4(), "username": username, "password_hash": password_hash, "demo": demo}
    try:
        async with engine.begin() as connection:
            row = (await connection.execute(insert(users).values(values).returning(*_USER))).mappings().one()
    except IntegrityError as error:
        raise NameTaken from error
    return User(**row)


async def find_user(engine: AsyncEngine, user_id: uuid.UUID) -> User | None:
    async with engine.connect() as connection:
        row = (await connection.execute(select(*_USER).where(users.c.id == user_id))).mappings().one_or_none()
    return User(**row) if row else None


async def find_credentials(engine: AsyncEngine, username: str) -> tuple[User, str | None] | None:
    """An account and its password's hash, by name."""
    async with engine.connect() as connection:
        found = await connection.execute(select(*_USER, users.c.password_hash).where(users.c.username == username))
        row = found.mappings().one_or_none()
    if row is None:
        return None
    values = dict(row)
    password_hash = values.pop("password_hash")
    return User(**values), password_hash


async def expired_demo_users(engine: AsyncEngine, age: timedelta, limit: int) -> list[User]:
    """Demo accounts older than `age`, the oldest first."""
    wanted = select(*_USER).where(users.c.demo, users.c.created_at < func.now() - age)
    async with engine.connect() as connection:
        rows = await connection.execute(wanted.order_by(users.c.created_at).limit(limit))
        return [User(**row) for row in rows.mappings()]


async def delete_user(engine: AsyncEngine, user: User) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Remove the account and all that belongs to it, in one transaction; returns how many rows of what, and which
    contents."""
    own = select(conversations.c.id).where(conversations.c.user_id == user.conversation_owner)
    steps = {
        "messages": delete(messages).where(messages.c.conversation_id.in_(own)),
        "conversations": delete(conversations).where(conversations.c.user_id == user.conversation_owner),
        "account": delete(users).where(users.c.id == user.id),
    }
    async with engine.begin() as connection:
        gone = await connection.execute(delete(contents).where(contents.c.user_id == user.id).returning(contents))
        rows = [dict(row) for row in gone.mappings()]
        counts = {name: (await connection.execute(step)).rowcount for name, step in steps.items()}
    return {"contents": len(rows), **counts}, rows


async def add_content(engine: AsyncEngine, values: dict[str, Any]) -> dict[str, Any]:
    """Record an upload; returns its row."""
    async with engine.begin() as connection:
        return dict((await connection.execute(insert(contents).values(values).returning(contents))).mappings().one())


async def list_contents(engine: AsyncEngine, user: User, limit: int | None = None,
                        offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """A page of an account's uploads, the newest first, and how many there are in all."""
    mine = contents.c.user_id == user.id
    page = select(contents).where(mine).order_by(contents.c.created_at.desc(), contents.c.id)
    async with engine.connect() as connection:
        total = (await connection.execute(select(func.count()).select_from(contents).where(mine))).scalar_one()
        rows = await connection.execute(page.limit(limit).offset(offset))
        return [dict(row) for row in rows.mappings()], total


async def find_content(engine: AsyncEngine, user: User, content_id: uuid.UUID) -> dict[str, Any] | None:
    """An upload of this account; what belongs to another is not there."""
    wanted = select(contents).where(contents.c.id == content_id, contents.c.user_id == user.id)
    async with engine.connect() as connection:
        row = (await connection.execute(wanted)).mappings().one_or_none()
    return dict(row) if row else None


async def delete_content(engine: AsyncEngine, content_id: uuid.UUID) -> None:
    async with engine.begin() as connection:
        await connection.execute(delete(contents).where(contents.c.id == content_id))


async def list_conversations(engine: AsyncEngine, user: User) -> list[dict[str, Any]]:
    """An account's conversations with their messages, in order."""
    wanted = (
        select(conversations.c.id, conversations.c.created_at.label("began"), messages.c.role, messages.c.content,
               messages.c.created_at)
        .join(messages, messages.c.conversation_id == conversations.c.id)
        .where(conversations.c.user_id == user.conversation_owner)
        .order_by(conversations.c.created_at, conversations.c.id, messages.c.created_at)
    )
    found: dict[uuid.UUID, dict[str, Any]] = {}
    async with engine.connect() as connection:
        for row in (await connection.execute(wanted)).mappings():
            conversation = found.setdefault(
                row["id"], {"id": str(row["id"]), "created_at": row["began"].isoformat(), "messages": []}
            )
            message = {"role": row["role"], "content": row["content"], "created_at": row["created_at"].isoformat()}
            conversation["messages"].append(message)
    return list(found.values())
