# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ChromaDB: optional, watched while it is configured."""

from __future__ import annotations

import httpx

_SECONDS = 3.0


class ChromaClient:
    """A pooled client of a ChromaDB server."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=_SECONDS)

    async def heartbeat(self) -> None:
        """Raises httpx.HTTPError when the server does not answer as it should."""
        (await self._http.get("/api/v2/heartbeat")).raise_for_status()

    async def close(self) -> None:
        await self._http.aclose()
