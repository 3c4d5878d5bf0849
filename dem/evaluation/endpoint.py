"""An OpenAI-compatible chat endpoint (vLLM, Ollama, `transformers serve`, a hosted API), asked with patience.

The key goes into one header of each request and nowhere else.
"""

import json
import time
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from dem.common import log
from dem.config import JudgeConfig

FIRST_WAIT = 1.0
"""Seconds before the first retry; each further one waits twice as long."""
LONGEST_WAIT = 60.0
"""Seconds; also where the server asks for more."""
LARGEST_REPLY = 1 << 20
"""Bytes."""
DEMANDS = (("response_format", "temperature"), ("response_format",), ("temperature",), ())
"""What is asked for beyond the messages, less and less, as a server refuses to take it."""


class EndpointDown(Exception):
    """The endpoint is of no use: it cannot be reached, is too slow, or refuses whatever it is asked."""


class CallRefused(Exception):
    """The endpoint, which has answered others, refuses this one call."""


class _Transient(Exception):
    """What may pass; `wait` is the time in seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class ChatEndpoint:
    """The model of `config`; `key` (empty: none) is sent to it and written nowhere."""

    def __init__(self, config: JudgeConfig, key: str):
        self.config = config
        self._key = key
        self._session = requests.Session()
        self._demands = 0
        self._has_answered = False

    def complete(self, messages: list[dict[str, str]], schema: dict[str, Any]) -> str:
        """The model's reply to `messages`, which by `schema` should be JSON but need not be.

        Raises:
            EndpointDown: there will be no reply, to this call or another.
            CallRefused: there will be none to this call.
        """
        wait, reason = FIRST_WAIT, ""
        for attempt in range(self.config.retries + 1):
            try:
                return self._complete_once(messages, schema)
            except _Transient as trouble:
                reason = str(trouble)
                if attempt < self.config.retries:
                    time.sleep(min(max(wait, trouble.wait), LONGEST_WAIT))
                    wait *= 2
        raise EndpointDown(f"{reason} (tried {self.config.retries + 1} times)")

    def _complete_once(self, messages: list[dict[str, str]], schema: dict[str, Any]) -> str:
        """The reply with as many of the demands as the server takes."""
        reasons = []
        for demands in range(self._demands, len(DEMANDS)):
            body = {"model": self.config.model, "messages": messages, **_extras(DEMANDS[demands], schema)}
            status, content, wait = self._post(body)
            if status not in (400, 413, 422):
                reply = self._reply(status, content, wait)
                self._settle(demands, reasons)
                return reply
            reasons.append(f"HTTP {status}: {self._said(content)}")
        if self._has_answered:
            raise CallRefused(reasons[-1])
        raise EndpointDown(reasons[-1])

    def _settle(self, demands: int, reasons: list[str]) -> None:
        """Keep to what the server took."""
        self._has_answered = True
        if demands > self._demands:
            left_out = set(DEMANDS[self._demands]) - set(DEMANDS[demands])
            log.info(f"judge: it does not take {' and '.join(sorted(left_out))}, going on without ({reasons[-1]})")
            self._demands = demands

    def _post(self, body: dict[str, Any]) -> tuple[int, bytes, float]:
        """Status, content and the seconds that the server asks to wait."""
        url = self.config.base_url.rstrip("/") + "/chat/completions"
        timeout = self.config.timeout
        deadline = time.monotonic() + timeout
        try:
            with self._session.post(
                url, json=body, auth=self._authorize, timeout=timeout, stream=True, allow_redirects=False
            ) as response:
                content = b""
                # requests' own timeout is for each single read; a server may send a byte every now and then.
                while piece := response.raw.read1(1 << 16, decode_content=True):
                    content += piece
                    if time.monotonic() > deadline:
                        raise requests.Timeout
                    if len(content) > LARGEST_REPLY:
                        raise _Transient(f"a reply of more than {LARGEST_REPLY} bytes")
                asked = response.headers.get("Retry-After", "")
                return response.status_code, content, float(asked) if asked.isdecimal() else 0.0
        except requests.Timeout:
            raise _Transient(f"no reply within {timeout:g} s") from None
        except (requests.RequestException, OSError, HTTPError) as error:
            raise _Transient(f"the connection failed ({self._clean(str(_innermost(error)))})") from None

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the key in. As a header of the call, requests would let a .netrc overrule it."""
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _reply(self, status: int, content: bytes, wait: float) -> str:
        if status in (408, 409, 425, 429) or status >= 500:
            raise _Transient(f"HTTP {status}: {self._said(content)}", wait)
        if status in (401, 403):
            raise EndpointDown(f"HTTP {status}, it does not take the key: {self._said(content)}")
        if status != 200:
            raise EndpointDown(f"HTTP {status}: {self._said(content)}")
        try:
            return json.loads(content)["choices"][0]["message"]["content"] or ""
        except (ValueError, LookupError, TypeError, RecursionError):
            raise _Transient(f"not a chat completion: {self._clean(content.decode('utf-8', 'replace'))}") from None

    def _said(self, content: bytes) -> str:
        """The server's own words for an error, as one short line."""
        try:
            error = json.loads(content)["error"]
            return self._clean(str(error["message"] if isinstance(error, dict) else error))
        except (ValueError, LookupError, TypeError, RecursionError):
            return self._clean(content.decode("utf-8", "replace"))

    def _clean(self, text: str) -> str:
        """One short printable line, without the key that a server may repeat."""
        if self._key:
            text = text.replace(self._key, "***")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text[:200] or "(empty)"


def _extras(names: tuple[str, ...], schema: dict[str, Any]) -> dict[str, Any]:
    values = {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "verdict", "strict": True, "schema": schema},
        },
        "temperature": 0,
    }
    return {name: values[name] for name in names}


def _innermost(error: BaseException) -> BaseException:
    """The error at the bottom ("Connection refused"), which those above wrap in their own names and addresses."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error
