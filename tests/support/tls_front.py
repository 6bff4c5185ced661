"""TLS before a server of plain http: the real provider, shown under a certificate that only a CA bundle makes good."""

import socket
import ssl
import threading
from contextlib import suppress
from types import TracebackType

from tests.support.hostile_provider import LOOPBACK, Certificate, self_signed


class TlsFront:
    """Listens on a free port of 127.0.0.1 while it is entered; passes on every byte to the port behind it."""

    def __init__(self, upstream_port: int) -> None:
        self.certificate: Certificate = self_signed()
        self._upstream_port = upstream_port
        self._context = self.certificate.server_context()
        self._listener = socket.create_server((LOOPBACK, 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> "TlsFront":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError), connection:
            with self._context.wrap_socket(connection, server_side=True) as front:
                with socket.create_connection((LOOPBACK, self._upstream_port)) as back:
                    back_to_front = threading.Thread(target=_pump, args=(back, front), daemon=True)
                    back_to_front.start()
                    _pump(front, back)
                    back_to_front.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while received := source.recv(65_536):
            target.sendall(received)
        target.shutdown(socket.SHUT_WR)
