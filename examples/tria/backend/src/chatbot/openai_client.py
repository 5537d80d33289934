# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The OpenAI API, or anything that speaks it: listing models, chat completions."""

from __future__ import annotations

from typing import Any

import httpx

_ATTEMPTS = 2


class OpenAIError(Exception):
    """The API could not be used. `permanent` says that trying again will not help (a rejected key, say)."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class OpenAIClient:
    """A pooled client. Messages of OpenAIError name the status and the host, never the key or the answer's text."""

    def __init__(self, base_url: str, api_key: str, model: str, timeout: float) -> None:
        self.model = model
        self._host = httpx.URL(base_url).host
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            limits=httpx.Limits(max_connections=50, max_keepalive_connections=10),
        )

    async def models(self) -> list[str]:
        """The models that the key may use."""
        answer = await self._request("GET", "/models")
        try:
            return [str(model["id"]) for model in answer["data"]]
        except (KeyError, TypeError) as error:
            raise OpenAIError(f"{self._host} answered GET /models with an unknown document") from error

    async def complete(self, messages: list[dict[str, str]]) -> str:
        """The assistant's answer to the conversation."""
        body = {"model": self.model, "messages": messages, "temperature": 0.2, "max_tokens": 500}
        answer = await self._request("POST", "/chat/completions", body)
        try:
            text = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise OpenAIError(f"{self._host} answered POST /chat/completions with an unknown document") from error
        if not isinstance(text, str) or not text.strip():
            raise OpenAIError(f"{self._host} gave an empty answer")
        return text.strip()

    async def close(self) -> None:
        await self._http.aclose()

    async def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = await self._http.request(method, path, json=body)
            except httpx.HTTPError as error:
                if attempt < _ATTEMPTS and isinstance(error, (httpx.ConnectError, httpx.RemoteProtocolError)):
                    continue
                raise OpenAIError(f"{self._host} cannot be reached: {type(error).__name__}") from error
            if response.is_success:
                break
            rejected = response.status_code in (400, 401, 403, 404)
            raise OpenAIError(f"{self._host} answered {method} {path} with {response.status_code}", permanent=rejected)
        try:
            return response.json()
        except ValueError as error:
            raise OpenAIError(f"{self._host} answered {method} {path} without JSON") from error
