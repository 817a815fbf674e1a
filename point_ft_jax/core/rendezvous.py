"""The processes of a run meet before JAX connects them, and then notice when one is lost.

JAX's own meeting ends in an abort of the process, minutes later, where one does not come or process
0 is lost. Here process 0 waits at the address of the run until all others have come, each with a
connection that stays open: it closes when its process ends, however that comes about.
"""

import contextlib
import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable

from point_ft_jax.core.errors import UserError, some

GO, BYE = b'go\n', b'bye\n'
BACKLOG, LONGEST, PAUSE = 4096, 4096, 0.2


@dataclasses.dataclass
class Meeting:
    """The open connections of a process to others: all of them of process 0, else to process 0.

    Attributes:
        peers: by the number of the process.
        lost: the numbers of those whose connection closed without a message.
    """

    peers: dict[int, socket.socket]
    lost: list[int] = dataclasses.field(default_factory=list)

    def watch(self, on_loss: Callable[[int], None]) -> None:
        """Calls `on_loss(number)`, in a thread, when a process is lost."""
        for number, peer in self.peers.items():
            thread = threading.Thread(target=self._watch, args=(number, peer, on_loss), daemon=True)
            thread.start()

    def _watch(self, number: int, peer: socket.socket, on_loss: Callable[[int], None]) -> None:
        said = b''
        with contextlib.suppress(OSError):
            peer.settimeout(None)
            while part := peer.recv(64):
                said += part
        if not said.endswith(BYE):
            self.lost.append(number)
            on_loss(number)

    def end(self) -> None:
        """Says that this process ends as it should."""
        for peer in self.peers.values():
            with contextlib.suppress(OSError):
                peer.sendall(BYE)


def meet(address: str, count: int, index: int, seconds: float) -> Meeting:
    """Waits for the other processes of a run.

    Args:
        address: HOST:PORT of process 0.
        count: how many processes there are.
        index: the number of this one.
        seconds: how long to wait at most.

    Raises:
        UserError: an address that is none, that cannot be listened at or be reached, or others that
            do not come, or come with another count.
    """
    host, port = _parts(address)
    until = time.monotonic() + seconds
    if index == 0:
        return _receive(address, port, count, until, seconds)
    return _visit(host, port, count, index, until, seconds)


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(':')
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(f'the address of process 0 is {address!r}; expected HOST:PORT')
    return host.strip('[]'), int(port)


def _listen(address: str, port: int) -> socket.socket:
    try:
        if socket.has_dualstack_ipv6():
            with contextlib.suppress(OSError):
                return socket.create_server(
                    ('', port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
                )
        return socket.create_server(('', port), backlog=BACKLOG)
    except OSError as error:
        raise UserError(
            f'process 0 cannot listen at {address} ({error.strerror}): another run may use that '
            'port; end it, or choose another for all processes'
        ) from None


def _receive(address: str, port: int, count: int, until: float, seconds: float) -> Meeting:
    """Process 0: takes the others' connections, and lets all go on at once."""
    peers: dict[int, socket.socket] = {}
    with _listen(address, port) as server:
        while len(peers) < count - 1:
            server.settimeout(max(until - time.monotonic(), 0.001))
            try:
                peer, _ = server.accept()
            except TimeoutError:
                missing = [number for number in range(1, count) if number not in peers]
                problem = (
                    f'processes {some(missing, 8)} of {count} have not come to {address} within '
                    f'{seconds:g} s: start all, with the same address, and numbers from 0 to '
                    f'{count - 1}'
                )
                _send_away(peers, problem)
                raise UserError(problem) from None
            _welcome(peer, peers, count)
    for peer in peers.values():
        peer.sendall(GO)
    return Meeting(peers)


def _welcome(peer: socket.socket, peers: dict[int, socket.socket], count: int) -> None:
    """Takes a connection that says who it is; others, as of whoever scans ports, are closed."""
    try:
        peer.settimeout(5)
        said = json.loads(_line(peer))
        number, others = int(said['process']), int(said['count'])
    except (OSError, ValueError, TypeError, KeyError):
        peer.close()
        return
    if others != count:
        problem = (
            f'process {number} was started as one of {others}, and process 0 as one of {count}'
        )
        _send_away({**peers, number: peer}, problem)
        raise UserError(f'{problem}: give all the same number')
    if number in peers and not _is_closed(peers[number]):
        problem = f'two processes were started as number {number} of {count}'
        _send_away({**peers, -1: peer}, problem)
        raise UserError(f'{problem}: give each its own')
    peers[number] = peer


def _is_closed(peer: socket.socket) -> bool:
    """Whether the process behind a connection has ended: it says nothing while it waits."""
    try:
        peer.settimeout(0.0)
        return peer.recv(1) == b''
    except OSError as error:
        return not isinstance(error, BlockingIOError)
    finally:
        peer.settimeout(5)


def _send_away(peers: dict[int, socket.socket], problem: str) -> None:
    for peer in peers.values():
        with contextlib.suppress(OSError):
            peer.sendall(problem.encode() + b'\n')
            peer.close()


def _visit(host: str, port: int, count: int, index: int, until: float, seconds: float) -> Meeting:
    """Another process: goes to process 0, again and again, until it is there and lets it go on."""
    reason = ''
    while (left := until - time.monotonic()) > 0:
        try:
            peer = socket.create_connection((host, port), timeout=left)
            peer.sendall(json.dumps({'process': index, 'count': count}).encode() + b'\n')
            peer.settimeout(max(until - time.monotonic(), 0.001) + 5)
            answer = _line(peer)
        except socket.gaierror as error:
            raise UserError(f'there is no host {host!r} ({error.strerror})') from None
        except OSError as error:
            reason = f' ({error.strerror or error})'
            time.sleep(min(PAUSE, left))
            continue
        if answer == GO:
            peer.settimeout(None)
            return Meeting({0: peer})
        peer.close()
        if answer:
            raise UserError(answer.decode(errors='replace').strip())
        time.sleep(min(PAUSE, left))  # process 0 ended while this one waited: it may come again
    raise UserError(
        f'process 0 could not be reached at {host}:{port} within {seconds:g} s{reason}: check that '
        'it was started, with this address, and that no firewall is between'
    )


def _line(peer: socket.socket) -> bytes:
    """A line from a connection, or what there is of it when it closes."""
    said = b''
    while not said.endswith(b'\n') and len(said) < LONGEST:
        part = peer.recv(LONGEST)
        if not part:
            break
        said += part
    return said
