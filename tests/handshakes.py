"""TLS handshakes in memory: two pyOpenSSL connections, no sockets, no reactor."""

from __future__ import annotations

from OpenSSL import SSL

from tests.certificates import Issued

__all__ = ["Handshake", "client_connection", "client_context", "returning", "server_connection", "server_context"]


def client_context(
    *, alpn: list[bytes] | None = None, highest: int | None = None, ciphers: bytes | None = None
) -> SSL.Context:
    """A client that verifies nothing. ``highest`` is the newest TLS version it offers."""
    context = SSL.Context(SSL.TLS_METHOD)
    if highest is not None:
        context.set_min_proto_version(0)
        context.set_max_proto_version(highest)
    if alpn is not None:
        context.set_alpn_protos(alpn)
    if ciphers is not None:
        context.set_cipher_list(ciphers)
    return context


def client_connection(context: SSL.Context, server_name: str | None = None) -> SSL.Connection:
    """The client's side of a handshake."""
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    if server_name is not None:
        connection.set_tlsext_host_name(server_name.encode("ascii"))
    return connection


def server_connection(context: SSL.Context) -> SSL.Connection:
    """The server's side of a handshake."""
    connection = SSL.Connection(context, None)
    connection.set_accept_state()
    return connection


def server_context(issued: Issued) -> SSL.Context:
    """A server that gives tickets and remembers nothing."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.use_certificate(issued.cert)
    context.use_privatekey(issued.key)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"test")
    return context


def returning(server: SSL.Context, highest: int, server_name: str | None = None) -> SSL.Connection:
    """A client that has been at ``server`` before, and comes with what it got there."""
    context = client_context(highest=highest)
    first = Handshake(client_connection(context, server_name), server_connection(server))
    session = first.client.get_session()
    if session is None:
        raise AssertionError(f"no session: {first.client_error} {first.server_error}")
    first.client.shutdown()  # else OpenSSL would not let it be resumed
    connection = client_connection(context, server_name)
    connection.set_session(session)
    return connection


class Handshake:
    """A handshake run to its end. ``client_error`` and ``server_error`` are what each side raised, or ``None``.

    ``server_bytes`` is what the server sent during it, which is much less for a resumed session.
    """

    def __init__(self, client: SSL.Connection, server: SSL.Connection) -> None:
        self.client = client
        self.server = server
        self.server_bytes = 0
        self.client_error: SSL.Error | None = None
        self.server_error: SSL.Error | None = None
        for _ in range(20):
            self.client_error = self.client_error or self._step(client)
            moved = self._carry(client, server)
            self.server_error = self.server_error or self._step(server)
            sent = self._carry(server, client)
            self.server_bytes += sent
            if not moved and not sent:
                break
        if self.client_error is None and self.server_error is None:
            self._exchange()

    def _exchange(self) -> None:
        """One message each way, so that a TLS 1.3 client has its tickets and late alerts have arrived."""
        self.server.send(b"hello")
        self._carry(self.server, self.client)
        if self.client.recv(100) != b"hello":
            raise AssertionError("the client got something else")

    @staticmethod
    def _step(connection: SSL.Connection) -> SSL.Error | None:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            return None
        except SSL.Error as error:
            return error
        return None

    @staticmethod
    def _carry(source: SSL.Connection, target: SSL.Connection) -> int:
        try:
            data = source.bio_read(1 << 20)
        except SSL.WantReadError:
            return 0
        target.bio_write(data)
        return len(data)
