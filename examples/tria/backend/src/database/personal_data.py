# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that is stored about an account: given out whole, and erased whole."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from cache.idempotency import IdempotencyStore
from cache.sessions import SessionManager
from database.accounts import User, delete_user, list_contents, list_conversations
from storage.backends import StorageBackends

_log = logging.getLogger("gdpr")


def as_account(user: User) -> dict[str, Any]:
    """An account as its owner sees it: {id, username, demo, created_at}."""
    return {"id": str(user.id), "username": user.username, "demo": user.demo, "created_at": user.created_at.isoformat()}


def as_content(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `contents` as its owner sees it; `url` is where the bytes are."""
    shown = {name: row[name] for name in ("title", "filename", "content_type", "size", "sha256", "storage_backend")}
    return {"id": str(row["id"]), **shown, "created_at": row["created_at"].isoformat(),
            "url": f"/contents/{row['id']}/file"}


def key_of(content_id: uuid.UUID) -> str:
    """Where an upload is in its backend. It comes from no client, and tells nothing about one."""
    return str(content_id)


class PersonalData:
    """Knows every place where personal data are: database, storage, Redis."""

    def __init__(self, engine: AsyncEngine, storage: StorageBackends, sessions: SessionManager,
                 idempotency: IdempotencyStore) -> None:
        self._engine = engine
        self._storage = storage
        self._sessions = sessions
        self._idempotency = idempotency

    async def export(self, user: User) -> dict[str, Any]:
        """{account, contents, conversations, running_conversation}, complete."""
        contents, _total = await list_contents(self._engine, user)
        session = await self._sessions.peek(user.conversation_owner)
        return {
            "account": as_account(user),
            "contents": [as_content(row) for row in contents],
            "conversations": await list_conversations(self._engine, user),
            "running_conversation": session,
        }

    async def _remove_files(self, contents: list[dict[str, Any]]) -> None:
        for row in contents:
            await self._storage.named(row["storage_backend"]).delete(key_of(row["id"]))

    async def erase(self, user: User) -> dict[str, int]:
        """Remove files, then what Redis holds, then the rows: whatever fails, the account is there to try again."""
        contents, _total = await list_contents(self._engine, user)
        await self._remove_files(contents)
        await self._sessions.forget(user.conversation_owner)
        await self._idempotency.forget(user.conversation_owner)
        counts, removed = await delete_user(self._engine, user)
        # What was uploaded while this ran.
        await self._remove_files([row for row in removed if row not in contents])
        _log.info("erased an account: %s", ", ".join(f"{count} {name}" for name, count in counts.items()))
        return counts
