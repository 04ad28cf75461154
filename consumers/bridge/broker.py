"""The connection to NATS JetStream that both directions share.

Owns connecting, JetStream's requests, and noticing that a connection is of no more use: a connection fails once, with
the reason, and whoever waits for anything of it gets that reason at once.  It knows neither batches nor rings.

Requests go to the API as JSON, not through the library's classes: these know the keys of one version, and would take
away what another version's administrator has set.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from consumers.bridge.address import Access, Address
from consumers.bridge.errors import ApiError, BridgeError, SequenceConflict
from consumers.extras import need
from tlv.errors import UsageError

CONNECT_TIMEOUT_S = 2.0
"""The library tries twice; with both, a server that does not answer is told of within 5 s."""
SECOND_ATTEMPT_S = 0.1
ANSWER_TIMEOUT_S = 3.0
CLOSE_TIMEOUT_S = 1.0
WATCH_S = 1.5
"""How often both sides look at what they rely on.  With an answer that does not come: less than 5 s."""
RETRY_S = 0.25
RETRY_MOST_S = 1.0
BROKER_ERRORS = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError, json.JSONDecodeError)
"""Exceptions of the client that mean a failure of the broker or of the way to it; all are retried."""

STREAM_NOT_FOUND = 10059
CONSUMER_NOT_FOUND = 10014
MESSAGE_NOT_FOUND = 10037
NAME_IN_USE = 10058
WRONG_LAST_ID = 10070
WRONG_LAST_SEQUENCE = 10071

Say = Callable[[str], None]
"""Takes a sentence for people."""


def this_process() -> str:
    """Who we are, for those who find our name in the way: host, process, and a number that no other has."""
    return f"{socket.gethostname()} pid {os.getpid()} {secrets.token_hex(4)}"


class Broker(NamedTuple):
    """Where a ring's messages go: servers, a stream, a subject."""

    access: Access
    stream: str
    subject: str

    @property
    def shown(self) -> str:
        """The servers without credentials."""
        return f"NATS server {self.access.shown}"


def default_subject(ring: str) -> str:
    """The subject of a ring: its own name, below the project's."""
    return f"alphapulse.{ring}"


class BrokerConnection:
    """A connection to one server, until it fails or is closed.  Made by `connect`."""

    def __init__(self, broker: Broker, address: Address) -> None:
        self.broker = broker
        self.client = Client()
        self.stream: JetStreamContext = self.client.jetstream(timeout=ANSWER_TIMEOUT_S)
        self.address = address
        self.noted: deque[Exception] = deque(maxlen=1)
        self.optional = ""
        """A subject that we can do without: a refusal of it does not fail the connection, see `presence`."""
        self.optional_refused = False
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failed.add_done_callback(lambda failed: failed.cancelled() or failed.exception())

    @property
    def max_payload(self) -> int:
        """The largest message that the server takes, headers included."""
        return int(self.client.max_payload)

    @property
    def server_version(self) -> str:
        """As the server says it."""
        return str(self.client._server_info.get("version", "unknown"))

    def fail(self, reason: Exception) -> None:
        """Let everybody who waits for this connection have `reason`; the first reason counts."""
        if not self._failed.done():
            self._failed.set_exception(reason)

    def check(self) -> None:
        """Raise the reason if the connection has failed."""
        if self._failed.done():
            self._failed.result()

    async def answer(self, awaited: asyncio.Future[Any], seconds: float, what: str) -> Any:
        """The result of `awaited`.

        Raises:
            BridgeError: it did not come in time, or was a refusal.
            Exception: the connection's failure.
        """
        if not awaited.done():
            await asyncio.wait({awaited, self._failed}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if awaited.done():
            return awaited.result()
        self.check()
        raise self.error(f"no answer within {seconds:.0f} s ({what})")

    async def api(self, operation: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream; returns its answer.

        Raises:
            ApiError: it answered with an error.
            BridgeError: it did not answer.
        """
        data = json.dumps(body).encode() if body else b""
        asked = asyncio.ensure_future(self.client.request(f"$JS.API.{operation}", data, timeout=ANSWER_TIMEOUT_S + 1))
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            reply = await self.answer(asked, ANSWER_TIMEOUT_S, operation)
        except nats.errors.NoRespondersError:
            raise self.error("JetStream is not enabled on the server or for this account") from None
        finally:
            asked.cancel()
        found: dict[str, Any] = json.loads(reply.data)
        if refusal := found.get("error"):
            raise ApiError(f"{self.broker.shown}: {refusal.get('description')}", int(refusal.get("err_code", 0)))
        return found

    async def publish(self, data: bytes, headers: dict[str, str]) -> asyncio.Future[Any]:
        """Send a message to our subject; the future gets JetStream's acknowledgement.

        Raises:
            BridgeError: what was sent before did not leave in time.
            One of BROKER_ERRORS; Exception: the connection's failure.
        """
        # With more than 2 MiB unsent the library waits for a flush that may never come, even of a closed connection.
        sent = asyncio.ensure_future(self.stream.publish_async(self.broker.subject, data, headers=headers))
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            acknowledged: asyncio.Future[Any] = await self.answer(sent, ANSWER_TIMEOUT_S, "sending a batch")
        finally:
            sent.cancel()
        return acknowledged

    async def flush(self) -> None:
        """Wait until the server has everything that was sent so far.

        Raises:
            BridgeError: it did not answer.
        """
        flushed = asyncio.ensure_future(self.client.flush())
        flushed.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await self.answer(flushed, ANSWER_TIMEOUT_S, "a ping")
        finally:
            flushed.cancel()

    async def stream_info(self) -> dict[str, Any] | None:
        """JetStream's words about our stream; None if there is no such stream."""
        return await self._unless(STREAM_NOT_FOUND, f"STREAM.INFO.{self.broker.stream}")

    async def consumer_info(self, durable: str) -> dict[str, Any] | None:
        """JetStream's words about a consumer of our stream; None if there is no such consumer, or no stream."""
        try:
            return await self._unless(CONSUMER_NOT_FOUND, f"CONSUMER.INFO.{self.broker.stream}.{durable}")
        except ApiError as error:
            if error.code != STREAM_NOT_FOUND:
                raise
            return None

    async def message(self, **which: Any) -> dict[str, Any] | None:
        """The message of our stream with `seq`, or the last one of `last_by_subj`; None if there is none."""
        found = await self._unless(MESSAGE_NOT_FOUND, f"STREAM.MSG.GET.{self.broker.stream}", which)
        return None if found is None else dict(found["message"])

    async def _unless(self, code: int, operation: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        try:
            return await self.api(operation, body)
        except ApiError as error:
            if error.code != code:
                raise
            return None

    def error(self, reason: str) -> BridgeError:
        """A failure of this broker, without secrets."""
        return BridgeError(self.broker.access.without_secrets(f"{self.broker.shown}: {reason}"))

    def translated(self, error: Exception) -> BridgeError:
        """What went wrong, in a person's words."""
        cause = self.noted[-1] if self.noted and isinstance(error, nats.errors.Error | TimeoutError) else error
        if isinstance(cause, BridgeError):
            return cause
        if isinstance(cause, nats.errors.ConnectionClosedError):
            cause = self.client.last_error or cause  # the server's words, of which nobody was told yet
        if getattr(cause, "err_code", None) in (WRONG_LAST_SEQUENCE, WRONG_LAST_ID):
            return SequenceConflict(f"{self.broker.shown}: stream {self.broker.stream} does not end where we left it")
        return self.error(reason_of(cause))

    async def close(self) -> None:
        """Close it, whatever state it is in; a server that hangs is not waited for."""
        self.fail(ConnectionError("closed"))
        try:
            await asyncio.wait_for(self.client.close(), CLOSE_TIMEOUT_S)
        except (*BROKER_ERRORS, asyncio.CancelledError):
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise

    async def open(self) -> None:
        """Connect.

        Raises:
            One of BROKER_ERRORS.
        """
        access, client = self.broker.access, self.client

        def once_safe(secret: str) -> Callable[[], str]:
            """The library asks for a secret once it knows whether the connection is encrypted."""

            def give() -> str:
                self._check_tls()
                return secret

            return give

        options: dict[str, Any] = {}
        if access.user:
            options = {"user": once_safe(access.user), "password": once_safe(access.password)}
        elif access.token:
            options = {"token": once_safe(access.token)}
        elif access.creds:
            options = {"user_credentials": str(access.creds)}
        elif access.nkey:
            options = {"nkeys_seed": str(access.nkey)}
        if context := tls_context(access):
            options["tls"] = context
        await client.connect(
            self.address.url,
            connect_timeout=CONNECT_TIMEOUT_S,
            allow_reconnect=False,
            # The client's defaults try an absent server sixty times, two seconds apart, without reporting a failure.
            max_reconnect_attempts=1,
            reconnect_time_wait=SECOND_ATTEMPT_S,
            error_cb=self._note,
            closed_cb=self._note_closed,
            lame_duck_mode_cb=self._note_lame_duck,
            **options,
        )
        self._check_tls()

    def _check_tls(self) -> None:
        """Over tls:// nothing secret is said to a server that does not encrypt."""
        if self.address.scheme == "tls" and not self.client._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError

    async def _note(self, error: Exception) -> None:
        """By default the client logs it with a traceback."""
        if self.optional and self.optional in str(error):
            self.optional_refused = True
            return
        self.noted.append(error)
        if self.client.is_connected:
            # A refused batch comes this way too: the library raises the refusal where nobody waits for it.
            self.fail(self.translated(error))

    async def _note_closed(self) -> None:
        last = self.client.last_error
        self.fail(self.noted[-1] if self.noted else last or nats.errors.ConnectionClosedError())

    async def _note_lame_duck(self) -> None:
        self.fail(self.error("it is shutting down (lame duck mode)"))


async def connect(broker: Broker) -> BrokerConnection:
    """Connect to the first server that lets us.

    Raises:
        BridgeError: none of them can be reached, or lets us in.
        UsageError: a file with credentials or certificates cannot be read.
    """
    reasons = []
    for address in broker.access.addresses:
        connection = BrokerConnection(broker, address)
        try:
            await connection.open()
        except (*BROKER_ERRORS, ValueError) as error:
            cause = connection.noted[-1] if connection.noted else error
            reasons.append(f"NATS server {address.shown}: cannot connect ({reason_of(cause)})")
            await connection.close()
        except BaseException:
            await connection.close()
            raise
        else:
            return connection
    raise BridgeError(broker.access.without_secrets("; ".join(reasons)))


def tls_context(access: Access) -> ssl.SSLContext | None:
    """The TLS settings, None for the system's.

    Raises:
        UsageError: a file cannot be read, or holds something else.
    """
    if not (access.tls_ca or access.tls_cert):
        return None
    try:
        context = ssl.create_default_context(cafile=access.tls_ca)
        if access.tls_cert:
            context.load_cert_chain(access.tls_cert, access.tls_key)
    except (OSError, ValueError) as error:
        raise UsageError(f"TLS files: expected PEM certificates and a key, found none ({reason_of(error)})") from None
    return context


def check_files(access: Access) -> None:
    """See before the first connection that the files we identify ourselves with can be used.

    Raises:
        UsageError: one cannot.
    """
    tls_context(access)
    if access.creds is None and access.nkey is None:
        return
    nkeys = need("nkeys")
    file = access.creds or access.nkey
    assert file is not None
    try:
        text = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    seed = text.strip()
    if access.creds:
        _, found, rest = text.partition(b"BEGIN USER NKEY SEED")
        seed = rest.partition(b"\n")[2].partition(b"\n")[0].strip() if found else b""
    try:
        nkeys.from_seed(bytearray(seed)).wipe()
    except Exception:  # noqa: BLE001 - whatever it says of a seed may repeat it
        expected = "a user's credentials (JWT and NKEY seed)" if access.creds else "an NKEY seed"
        raise UsageError(f"{file}: expected {expected}, found something else") from None


def reason_of(error: BaseException) -> str:
    """What went wrong, in a few words; no traceback, no secret, and no library's name in front."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: certificate verify failed: {error.verify_message}; --tls-ca names whom to trust"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'handshake failed'}"
    if isinstance(error, nats.errors.SecureConnWantedError):
        return "tls:// was asked for, and the server does not encrypt"
    if isinstance(error, nats.errors.NoServersError):
        return "no server answers"
    if isinstance(error, nats.js.errors.NoStreamResponseError):
        return "no stream takes the subject"
    if isinstance(error, nats.js.errors.ServiceUnavailableError) and not error.err_code:
        return "JetStream does not answer"
    if isinstance(error, nats.js.errors.APIError):
        return f"{error.description or type(error).__name__} (JetStream error {error.err_code or error.code})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, TimeoutError):
        return "no answer"
    return str(error).removeprefix("nats: ").strip().strip("'") or type(error).__name__
