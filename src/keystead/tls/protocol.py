"""TLS for one accepted connection: between the raw transport of asyncio or uvloop and a plaintext protocol.

asyncio's own TLS drops the alert of a refused handshake, so that neither side learns why; this one sends it,
reports it, and bounds what a peer can make the server do. Not here: what the context allows
(`tls.contexts`), how octets are decrypted and encrypted (`tls.incoming`, `tls.outgoing`), HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, cast

from OpenSSL import SSL

from keystead.tls.capacity import Slot
from keystead.tls.deadline import Deadline
from keystead.tls.incoming import BARREN, TURN, Incoming
from keystead.tls.openssl import has_output
from keystead.tls.outgoing import Outgoing
from keystead.tls.refused import RefusedHandshake, VerifyNote, refused
from keystead.tls.transport import TLSTransport, agreed

if TYPE_CHECKING:
    from keystead.tls.acceptor import Acceptor

_TICKS = 4
"""How often progress is looked for within the time that a stalled peer is given."""


class State(IntEnum):
    """Where a connection stands; it only goes forward."""

    HANDSHAKE = 0
    OPEN = 1
    CLOSING = 2
    """Nothing more is taken from the application; what it wrote goes out, then close_notify."""
    LINGERING = 3
    """All is sent. What arrives is dropped, lest the kernel's reset destroy our last words on their way."""
    CLOSED = 4


class TLSProtocol(asyncio.BufferedProtocol):
    """One accepted connection; ``app`` is the protocol above, while there is one."""

    _raw: asyncio.Transport
    _connection: SSL.Connection
    _in: Incoming
    _out: Outgoing

    def __init__(self, acceptor: Acceptor) -> None:
        self.app: asyncio.Protocol | None = None
        self._acceptor = acceptor
        self._limits = acceptor.limits
        self._clock = Deadline(acceptor.loop, self._out_of_time)
        self._state = State.HANDSHAKE
        self._note = VerifyNote()
        self._address = ""
        self._handshake_octets = 0
        self._reported = False
        self._reason: Exception | None = None
        self._app_reads = True
        self._app_writes = True
        self._raw_reads = True
        self._turn_is_due = False
        self._said_goodbye = False
        self._peer_is_gone = False
        self._dropped = 0
        self._gone = 0
        self._idle_ticks = 0

    # ---- what the raw transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._slot: Slot | None = None
        peer = transport.get_extra_info("peername")
        if peer is None:  # reset while it waited to be accepted: a flood of those must cost next to nothing
            self._reported = True
            self._raw.abort()
            return
        self._address = peer[0]
        self._in_force = self._acceptor.holder.current
        self._slot = self._acceptor.capacity.admit(self._address, self._give_way)
        if self._slot is None:
            self._report("too-many", "too many connections are open already")
            self.abort(None)
            return
        self._acceptor.connections.add(self)
        self._clock.set(self._limits.handshake_seconds)

    def get_buffer(self, sizehint: int) -> Any:
        return self._acceptor.ciphertext

    def buffer_updated(self, nbytes: int) -> None:
        if self._state >= State.CLOSING:
            self._dropped += nbytes
            self._adjust_reading()
            return
        self._guarded(lambda: self._feed(self._acceptor.ciphertext[:nbytes]))

    def eof_received(self) -> bool:
        if self._state is State.HANDSHAKE:
            self._report("ended-early", "the client ended the connection during the handshake")
            return False
        if self._state is State.OPEN and not self._in.ended:
            self.abort(
                ConnectionAbortedError("the connection ended without close_notify: it may be truncated")
            )
            return False
        self._peer_is_gone = True
        return self._state < State.LINGERING  # what is still to be sent is sent

    def pause_writing(self) -> None:
        self._out.blocked = True
        self._tell_app_to_pause()
        self._watch_for_progress()
        self._adjust_reading()

    def resume_writing(self) -> None:
        self._out.blocked = False
        self._guarded(self._proceed)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._state is State.HANDSHAKE:
            self._report("ended-early", "the client ended the connection during the handshake")
        self._state = State.CLOSED
        self._clock.end()
        self._acceptor.connections.discard(self)
        if self._slot is not None:
            self._slot.release()
        self._lose_app(self._reason or exc)

    # ---- what the plaintext transport calls

    def raw_info(self, name: str, default: Any) -> Any:
        """The raw transport's extra information."""
        return self._raw.get_extra_info(name, default)

    def unsent(self) -> int:
        """Octets written and not yet taken by the kernel."""
        return self._out.unsent()

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._state >= State.CLOSING

    def is_reading(self) -> bool:
        """Whether the application may be given plaintext."""
        return self._state is State.OPEN and self._app_reads

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send ``data``; dropped once the connection is closing."""
        if self._state is not State.OPEN or not data:
            return
        try:
            self._out.push(data)
        except SSL.Error as error:
            self.abort(error)
            return
        if self._out.pending:
            self._tell_app_to_pause()

    def pause_reading(self) -> None:
        """Give the application nothing until `resume_reading`."""
        self._app_reads = False
        self._adjust_reading()

    def resume_reading(self) -> None:
        """Go on; what was put aside comes in the loop's next round, not from within this call."""
        self._app_reads = True
        self._adjust_reading()

    def close(self) -> None:
        """Send what was written, then end the connection properly."""
        if self._state is State.OPEN:
            self._state = State.CLOSING
            self._watch_for_progress()
            self._adjust_reading()
            self._guarded(self._proceed)

    def abort(self, reason: Exception | None) -> None:
        """Reset the connection; ``reason`` is told to the application."""
        if self._state is State.CLOSED:
            return
        if self._state is State.HANDSHAKE:
            self._report("cut-off", str(reason) if reason else "the server is stopping")
        self._reason = self._reason or reason
        self._state = max(self._state, State.CLOSING)
        self._said_goodbye = True
        if self._handshake_octets:
            self._out.drop()
        self._raw.abort()

    # ---- inwards

    def _feed(self, ciphertext: memoryview) -> None:
        if self._state is State.HANDSHAKE:
            ciphertext = self._shake_hands(ciphertext)
        if self._state is State.OPEN and self._app_reads:
            self._read(ciphertext)
        elif self._state is State.OPEN:  # paused by the protocol as soon as it was made
            self._in.put_aside(ciphertext)
            self._adjust_reading()

    def _begin(self) -> None:
        """Make what TLS needs at the client's first octets: who says nothing costs a slot and no more."""
        self._connection = SSL.Connection(self._in_force.context, None)
        self._connection.set_app_data(self._note)
        self._connection.set_accept_state()
        self._in = Incoming(self._connection, self._acceptor.reader)
        self._out = Outgoing(self._acceptor.loop, self._connection, self._raw)

    def _shake_hands(self, ciphertext: memoryview) -> memoryview:
        if not self._handshake_octets:
            self._begin()
        while ciphertext and self._state is State.HANDSHAKE:
            piece, ciphertext = ciphertext[:TURN], ciphertext[TURN:]
            self._handshake_octets += len(piece)
            if self._handshake_octets > BARREN:
                self._report("too-large", "the client sent a larger handshake than is read")
                self.abort(None)
                break
            self._connection.bio_write(piece)
            try:
                self._connection.do_handshake()
            except SSL.WantReadError:
                self._out.flush()
            except SSL.Error as error:
                self._out.flush()  # the alert: the client learns why
                self._tell(refused(self._address, self._note, error))
                self._state, self._said_goodbye = State.CLOSING, True
                self._watch_for_progress()
                self._proceed()
            else:
                self._open()
        return ciphertext

    def _open(self) -> None:
        assert self._slot is not None
        self._slot.establish()
        if self._state is not State.HANDSHAKE:
            return  # the place was given to another at the last moment
        self._clock.clear()
        self._state = State.OPEN
        self._out.flush_soon()  # in TLS 1.2 the last word of the handshake is the server's
        self.app = self._acceptor.factory()
        self.app.connection_made(TLSTransport(self, agreed(self._connection, self._in_force)))

    def _read(self, ciphertext: memoryview) -> None:
        plaintext = self._in.decrypt(ciphertext)
        self._adjust_reading()
        if plaintext and self.app is not None:
            self.app.data_received(plaintext)
        if self._in.ended and self._state is State.OPEN:
            keep_open = self.app is not None and self.app.eof_received()
            if not keep_open:
                self.close()
        if has_output(self._connection):  # session tickets, answers to a KeyUpdate
            self._out.flush_soon()

    def _adjust_reading(self) -> None:
        """Read from the socket exactly while what arrives can be dealt with."""
        wanted = True
        if self._state is State.OPEN:
            willing = self._app_reads and not self._out.blocked
            wanted = willing and not self._in.pending and not self._in.ended
            if willing and self._in.pending and not self._turn_is_due:
                self._turn_is_due = True
                self._acceptor.loop.call_soon(self._next_turn)
        elif self._state >= State.CLOSING:
            wanted = self._dropped <= self._limits.linger_octets
        if wanted != self._raw_reads and not self._peer_is_gone:
            self._raw_reads = wanted
            (self._raw.resume_reading if wanted else self._raw.pause_reading)()

    def _next_turn(self) -> None:
        self._turn_is_due = False
        if self._state is State.OPEN and self._app_reads and not self._out.blocked:
            self._guarded(lambda: self._read(self._in.take_aside()))

    # ---- outwards

    def _proceed(self) -> None:
        """Whatever can be done now that the socket takes octets."""
        self._out.drain()
        if self._out.pending or self._out.blocked:
            return
        if self._state is State.OPEN:
            self._clock.clear()
            self._tell_app_to_resume()
            self._adjust_reading()
        elif self._state is State.CLOSING:
            if not self._said_goodbye:
                self._said_goodbye = True
                self._connection.shutdown()  # queues close_notify; the peer's own is not waited for
            self._out.flush()
            self._raw.set_write_buffer_limits(high=0)  # so that we are told when all is gone
            if not self._out.blocked:
                self._linger()

    def _linger(self) -> None:
        self._state = State.LINGERING
        self._lose_app(None)
        if self._peer_is_gone or self._raw.is_closing():
            self._raw.close()
            return
        self._raw.write_eof()
        self._clock.set(self._limits.linger_seconds)
        self._adjust_reading()

    def _tell_app_to_pause(self) -> None:
        if self._app_writes and self.app is not None:
            self._app_writes = False
            self.app.pause_writing()

    def _tell_app_to_resume(self) -> None:
        if not self._app_writes and self.app is not None:
            self._app_writes = True
            self.app.resume_writing()

    def _lose_app(self, reason: Exception | None) -> None:
        app, self.app = self.app, None
        if app is not None:
            app.connection_lost(reason)

    # ---- time, failure, refusal

    def _watch_for_progress(self) -> None:
        self._gone, self._idle_ticks = self._out.gone(), 0
        self._clock.set(self._limits.stall_seconds / _TICKS)

    def _out_of_time(self) -> None:
        if self._state is State.HANDSHAKE:
            self._report("handshake-timeout", "the client did not finish the handshake in time")
            self.abort(None)
        elif self._state is State.LINGERING:
            self._raw.abort()
        elif self._out.gone() != self._gone:
            self._watch_for_progress()
        else:
            self._idle_ticks += 1
            if self._idle_ticks >= _TICKS:
                self.abort(TimeoutError("the peer does not read what it is sent"))
                return
            self._clock.set(self._limits.stall_seconds / _TICKS)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Nothing may reach the event loop, which would leave the connection hanging."""
        try:
            step()
        except (SSL.Error, OSError) as error:
            self.abort(error)
        except Exception as error:  # noqa: BLE001  a mistake of ours or of the protocol above
            self._acceptor.loop.call_exception_handler({"message": "a connection failed", "exception": error})
            self.abort(error)

    def _give_way(self) -> None:
        self._report("crowded-out", "the handshake was not finished when others needed the place")
        self.abort(None)

    def _report(self, code: str, reason: str) -> None:
        self._tell(RefusedHandshake(self._address, code, reason))

    def _tell(self, refusal: RefusedHandshake) -> None:
        if not self._reported:
            self._reported = True
            self._acceptor.on_refused(refusal)
