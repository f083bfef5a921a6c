"""paho's MQTT client with bounds on what a broker can make it do. The only file that imports paho.

paho's network loop runs inside `Client.turn`, in the thread that calls it, and in no thread of its own: callbacks
cannot race with the owner. Whatever paho raises there, from whatever a broker has sent, becomes a sentence. Only
connecting has a thread, because name resolution may block for longer than a stop can wait.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_app.errors import ResourceError
from edge_app.mqtt.broker_limits import BrokerLimits
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Message, Timing
from edge_app.mqtt.events import Protocol as Version
from edge_app.system.threads import start_thread

RECEIVE_MAXIMUM: Final = 65535
"""Unacknowledged messages that a broker accepts unless it announces a limit (MQTT 5, 3.2.2.3.3)."""
_VERSIONS: Final = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
_CONNACK: Final = 0x20
_PUBLISH: Final = 0x30
_QOS_1: Final = 0x02
"""Bit of a PUBLISH with QoS 1."""
_QOS_2: Final = 0x04
"""Bit of a PUBLISH with QoS 2, which nobody here subscribes to, or of the invalid QoS 3."""
_PUBACK: Final = 0x40
_PUBACK_REASONS: Final = frozenset((0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99))
_UNSPECIFIED: Final = 0x80
_TOO_LARGE: Final = 0x95
_KEEPALIVE: Final = "Keep alive timeout"
_CHUNK: Final = 65_536
"""Bytes that are taken from the system at once."""
_PACKETS: Final = 1_000
"""Packets of one turn."""
_UNREAD: Final = 5_000
"""Packets that may come in while the broker takes nothing: each may want an answer, which waits in memory."""


class Handler(Protocol):
    """Takes what happens on a connection; called within `Client.turn`."""

    def on_accepted(self, limits: BrokerLimits, receive_maximum: int) -> None: ...

    def on_refused(self, reason: str) -> None:
        """reason: name of the MQTT 5 reason code, in the CONNACK or in a later DISCONNECT."""
        ...

    def on_answered(self, mid: int, refused: str) -> None:
        """The broker has answered a publication with QoS 1, or what `Client.ask` sent."""
        ...

    def on_subscribed(self, mid: int, refused: Sequence[str]) -> None:
        """refused: for each filter the reason for refusing it, empty when it was taken."""
        ...

    def on_message(self, message: Message) -> None: ...


class _Guarded(paho.Client):
    """paho's client, with paho's own steps between socket and packet guarded."""

    largest: int = 0
    received: int = 0
    waiting: int = 0
    fault: str = ""
    on_plain: Callable[[Message], None] | None = None
    """Takes messages without properties past paho's own steps, which cost more than all that is done with a message."""
    _came: bytes = b""
    _at: int = 0
    odd_reason: str = ""
    """Reason of the present PUBACK that paho would not read: mosquitto answers with 0x95 what only a DISCONNECT may."""
    _newest: socket.socket | None = None
    line: socket.socket | None = None
    """Second handle of the connection while it is made, so that another thread can end it, with TLS or without."""

    def _create_socket(self) -> Any:
        try:
            return super()._create_socket()
        except BaseException:  # paho leaves the socket of a failed WebSocket to the garbage collector
            if self._newest is not None:
                self._newest.close()
            raise
        finally:
            self._newest = None

    def _create_socket_connection(self) -> socket.socket:
        self._newest = super()._create_socket_connection()
        self.line = self._newest.dup()
        return self._newest

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        wrapped = super()._ssl_wrap_socket(tcp_sock)
        self._newest = wrapped
        return wrapped

    @property
    def unread(self) -> bool:
        """Whether bytes have come of which paho has not asked for all."""
        return self._at < len(self._came)

    def _sock_recv(self, bufsize: int) -> bytes:
        # For the body of a packet paho asks for all that is left of it, and Python reserves as much.
        if bufsize > self.largest or len(getattr(self._sock, "_readbuffer", b"")) > 2 * self.largest:
            self.fault = f"sends a packet of {bufsize} bytes, more than the {self.largest} that are taken"
            raise OSError(self.fault)
        if not self.unread:
            # paho asks for single bytes, and each question to the system costs as much as many of them.
            self._came, self._at = super()._sock_recv(_CHUNK), 0
            self.received += len(self._came)
        begin, self._at = self._at, min(self._at + bufsize, len(self._came))
        return self._came[begin : self._at]

    def look(self) -> MQTTErrorCode:
        """Send and receive what goes without waiting.

        paho's `loop` waits by select(2), which takes no file above number 1,023, and opens two more for that.
        """
        code = self.loop_read()
        if code == paho.MQTT_ERR_SUCCESS and self.want_write():
            code = self.loop_write()
        return self.loop_misc() if code == paho.MQTT_ERR_SUCCESS and self._sock is not None else code

    def _packet_read(self) -> MQTTErrorCode:
        whole = self.on_plain is not None and self.unread and not self._in_packet["command"]
        message = self._next_plain() if whole else None
        if message is None or self.on_plain is None:
            return super()._packet_read()
        self._last_bytes_received = time.monotonic()
        self.on_plain(message)
        return paho.MQTT_ERR_SUCCESS

    def _next_plain(self) -> Message | None:
        """Return the message of a plain packet that has come as a whole; None leaves what has come to paho."""
        came, kind, at, length = self._came, self._came[self._at], self._at, 0
        for shift in (0, 7, 14):  # a longer packet does not fit into what has come
            at += 1
            if at >= len(came):
                return None
            length |= (came[at] & 0x7F) << shift
            if came[at] < 0x80:
                break
        else:
            return None
        end = at + 1 + length
        if kind & 0xF0 != _PUBLISH or kind & _QOS_2 or end > len(came) or length > self.largest or self.want_write():
            return None
        message = self._plain_message(kind, came[at + 1 : end])
        if message is not None:
            self._at, self.waiting = end, 0
        return message

    def _packet_handle(self) -> MQTTErrorCode:
        kind = self._in_packet["command"]
        self.waiting = self.waiting + 1 if self.want_write() else 0
        if kind & 0xF0 == _CONNACK and self.is_connected():
            self.fault = "accepts the connection a second time"
        elif kind & 0xF0 == _PUBLISH and kind & _QOS_2:
            self.fault = "sends a message of QoS 2, which nobody has asked for"
        elif self.waiting > _UNREAD:
            self.fault = "takes nothing of what is sent, but sends more and more"
        elif (
            kind & 0xF0 == _PUBLISH
            and self.on_plain is not None
            and (message := self._plain_message(kind, self._in_packet["packet"]))
        ):
            self.on_plain(message)
            return paho.MQTT_ERR_SUCCESS
        else:
            self.odd_reason = self._take_odd_reason() if kind & 0xF0 == _PUBACK else ""
            return super()._packet_handle()
        return paho.MQTT_ERR_PROTOCOL

    def _plain_message(self, kind: int, packet: bytes | bytearray) -> Message | None:
        """Return the message of QoS 1 in a packet, None for any other, and for one with properties."""
        begin = 2 + int.from_bytes(packet[:2], "big")  # after the topic, which has its length before it
        v5 = self._protocol == MQTTProtocolVersion.MQTTv5
        body = begin + 2 + v5
        if not kind & _QOS_1 or begin == 2 or len(packet) < body or (v5 and packet[begin + 2]):
            return None
        try:
            topic = packet[2:begin].decode()
        except UnicodeDecodeError:
            return None
        number = int.from_bytes(packet[begin : begin + 2], "big")
        return Message(topic, bytes(packet[body:]), 1, bool(kind & 1), unacknowledged=number)

    def _take_odd_reason(self) -> str:
        packet = self._in_packet["packet"]
        if len(packet) < 3 or packet[2] in _PUBACK_REASONS:
            return ""
        code, packet[2] = packet[2], _UNSPECIFIED
        return "Packet too large" if code == _TOO_LARGE else f"reason {code:#x}"


class Client:
    """One connection's client. All but `dial` and `abort` belong to one thread.

    will: as the broker takes it.
    """

    def __init__(
        self,
        to: Endpoint,
        client_id: str,
        protocol: Version,
        timing: Timing,
        will: Message | None,
        tls: ssl.SSLContext | None,
        handler: Handler,
    ) -> None:
        self._to, self._protocol, self._timing, self._handler = to, protocol, timing, handler
        self._closed = False
        self._paho = client = _Guarded(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if protocol == "5" else not timing.session_expiry,
            protocol=_VERSIONS[protocol],
            transport=to.transport,
            reconnect_on_failure=False,
            manual_ack=timing.by_hand,
        )
        client.largest = timing.max_packet
        client.connect_timeout = timing.connect
        client.max_inflight_messages = RECEIVE_MAXIMUM
        if timing.by_hand:
            client.on_plain = handler.on_message
        if to.transport == "websockets":
            client.ws_set_options(path=to.path)
        if to.username:
            client.username_pw_set(to.username, to.password or None)
        if tls:
            client.tls_set_context(tls)
        if will:
            client.will_set(will.topic, will.payload, will.qos, will.retained)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_subscribe = self._on_publish, self._on_subscribe
        client.on_message, client.on_unsubscribe = self._on_message, self._on_unsubscribe

    def dial(self) -> queue.SimpleQueue[Exception | None]:
        """Connect in a thread; the queue gets None, or what went wrong."""
        outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        thread = threading.Thread(target=self._dial, args=(outcome,), name="mqtt-dial", daemon=True)
        try:
            start_thread(thread, tries_s=0)
        except ResourceError as error:
            outcome.put(error)  # like a broker that cannot be reached: tried again later
        return outcome

    def abort(self) -> None:
        """End an attempt to connect: its thread ends too, unless it still waits for a name server."""
        line = self._paho.line
        if line is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    @property
    def received(self) -> int:
        """Bytes that have come in so far."""
        return self._paho.received

    def turn(self, timeout: float) -> str | None:
        """Send and receive for at most about `timeout` seconds.

        Return None while the connection lasts, otherwise what the broker did wrong; empty when it only closed it.
        """
        client = self._paho
        try:
            code = client.loop(timeout) if timeout and not client.unread else client.look()
            for _ in range(_PACKETS):
                if code != paho.MQTT_ERR_SUCCESS or client.socket() is None or not client.unread:
                    break
                code = client.loop_read()
        except Exception as error:  # anything: a broker decides what paho has to read
            client.fault = f"sends what cannot be read ({type(error).__name__})"
        else:
            if code == paho.MQTT_ERR_SUCCESS and client.socket() is not None:
                return None
            if code == paho.MQTT_ERR_PROTOCOL:
                client.fault = client.fault or "sends what is no valid MQTT"
        return client.fault

    def publish(self, message: Message) -> int:
        """Send a message; return its number. Raises ValueError: when it cannot be one, as with a wildcard in it."""
        properties = self._properties(message)
        info = self._paho.publish(message.topic, message.payload, message.qos, message.retained, properties)
        return info.mid

    def subscribe(self, topics: Sequence[str], *, fresh: bool, qos: int) -> int:
        """Subscribe to topic filters; return the number that the answer bears. fresh: see `Connection`."""
        if fresh and self._protocol == "5":
            options = SubscribeOptions(
                qos=qos, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND
            )
            _, mid = self._paho.subscribe([(topic, options) for topic in topics])
        else:
            _, mid = self._paho.subscribe([(topic, qos) for topic in topics])
        return mid or 0

    def ask(self, topic: str) -> int:
        """Have the broker answer, to what changes nothing: an unsubscription from a topic without a subscription.

        It works in order, so its answer says that it has taken all that was sent before, and that it is alive.
        """
        _, mid = self._paho.unsubscribe(topic)
        return mid or 0

    def acknowledge(self, numbers: Sequence[int]) -> None:
        """Tell the broker that messages of QoS 1 with these numbers are stored: it need not send them again."""
        packets = b"".join(b"\x40\x02" + number.to_bytes(2, "big") for number in numbers)
        if packets:  # one write for all
            self._paho._packet_queue(_PUBACK, packets, 0, 0)

    def close(self, *, goodbye: bool) -> None:
        """Close the connection, with a DISCONNECT for a goodbye."""
        self._closed = True
        self.abort()
        if goodbye:
            with contextlib.suppress(OSError, ValueError):
                self._paho.disconnect()
        connection = self._paho.socket()
        if connection is not None:
            connection.close()
        # This object and paho's refer to each other: unless one drops its reference, the sockets stay open until the
        # garbage collector runs.
        del self._paho

    def _dial(self, outcome: queue.SimpleQueue[Exception | None]) -> None:
        # Nothing of paho's is referred to any more when the outcome is known: see `close`.
        outcome.put(self._connect(self._paho))

    def _connect(self, client: _Guarded) -> Exception | None:
        to, timing, failure = self._to, self._timing, None
        try:
            if self._protocol == "5":
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                properties.SessionExpiryInterval = timing.session_expiry
                properties.MaximumPacketSize = timing.max_packet
                clean = not timing.session_expiry
                client.connect(to.host, to.port, timing.keepalive, clean_start=clean, properties=properties)
            else:
                client.connect(to.host, to.port, timing.keepalive)
        except Exception as error:  # anything: a server decides what paho has to read
            failure = error
        line, client.line = client.line, None
        late = client.socket() if self._closed else None
        for connection in (line, late):
            if connection is not None:
                connection.close()
        return failure

    def _properties(self, message: Message) -> Properties | None:
        if self._protocol != "5" or not (message.expires_s or message.correlation):
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if message.expires_s:
            properties.MessageExpiryInterval = message.expires_s
        if message.correlation:
            properties.CorrelationData = message.correlation
        return properties

    def _on_connect(self, _: Any, __: Any, ___: Any, reason: ReasonCode, properties: Properties | None) -> None:
        if reason.is_failure:
            self._handler.on_refused(str(reason))
            return
        limits = BrokerLimits.announced(properties)
        self._handler.on_accepted(limits, getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM))

    def _on_disconnect(self, _: Any, __: Any, flags: Any, reason: ReasonCode, ___: Any) -> None:
        if flags.is_disconnect_packet_from_server and reason.is_failure:
            self._handler.on_refused(str(reason))
        elif str(reason) == _KEEPALIVE:
            self._paho.fault = "connection lost, nothing came for the time of the keep-alive"

    def _on_publish(self, _: Any, __: Any, mid: int, reason: ReasonCode, ___: Any) -> None:
        self._handler.on_answered(mid, (self._paho.odd_reason or str(reason)) if reason.is_failure else "")

    def _on_unsubscribe(self, _: Any, __: Any, mid: int, ___: Any, ____: Any) -> None:
        self._handler.on_answered(mid, "")

    def _on_subscribe(self, _: Any, __: Any, mid: int, reasons: list[ReasonCode], ___: Any) -> None:
        self._handler.on_subscribed(mid, [str(reason) if reason.is_failure else "" for reason in reasons])

    def _on_message(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        answer_to = getattr(message.properties, "ResponseTopic", "")
        correlation = bytes(getattr(message.properties, "CorrelationData", b""))
        payload = bytes(message.payload)
        waits = message.mid if self._timing.by_hand and message.qos else 0
        self._handler.on_message(Message(topic, payload, message.qos, message.retain, 0, answer_to, correlation, waits))
