"""The processes of a run meet, are told who does not come, and notice when one ends."""

import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest

from point_ft_jax.core import processes, rendezvous
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.rendezvous import Meeting, meet


@pytest.fixture
def address() -> str:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return f'127.0.0.1:{probe.getsockname()[1]}'


def meet_all(address: str, counts: list[int], numbers: list[int], seconds: float = 20) -> list:
    """What `meet` gives to each, or raises in it."""
    found: list = [None] * len(numbers)

    def one(k: int) -> None:
        try:
            found[k] = meet(address, counts[k], numbers[k], seconds)
        except UserError as error:
            found[k] = error

    threads = [threading.Thread(target=one, args=(k,)) for k in range(len(numbers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def close(meetings: list[Meeting]) -> None:
    for meeting in meetings:
        for peer in meeting.peers.values():
            peer.close()


def test_all_meet_in_any_order(address: str) -> None:
    found = meet_all(address, [3, 3, 3], [2, 1, 0])
    assert [sorted(meeting.peers) for meeting in found] == [[0], [0], [1, 2]]
    close(found)


def test_who_does_not_come_is_named_to_all_who_did(address: str) -> None:
    found = meet_all(address, [4, 4], [0, 2], seconds=0.5)
    for error in found:
        assert str(error).startswith(
            f'processes 1, 3 of 4 have not come to {address} within 0.5 s: start all'
        )


def test_a_process_0_that_is_not_there_is_named(address: str) -> None:
    with pytest.raises(UserError, match=r'process 0 could not be reached at 127.* within 0.3 s'):
        meet(address, 2, 1, 0.3)


def test_a_host_that_there_is_not_is_named() -> None:
    with pytest.raises(UserError, match=r"there is no host 'nowhere\.invalid'"):
        meet('nowhere.invalid:80', 2, 1, 5)


@pytest.mark.parametrize('address', ['', 'host', 'host:', 'host:x', 'host:70000', ':80'])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UserError, match='expected HOST:PORT'):
        meet(address, 2, 1, 1)


def test_a_port_that_is_taken_is_named(address: str) -> None:
    port = int(address.rpartition(':')[2])
    with (
        socket.create_server(('', port)),
        pytest.raises(UserError, match=f'cannot listen at {address} .*another run may use'),
    ):
        meet(address, 2, 0, 1)


def test_another_count_is_named_to_both(address: str) -> None:
    for error in meet_all(address, [2, 3], [0, 1]):
        assert 'process 1 was started as one of 3, and process 0 as one of 2' in str(error)


def test_one_number_for_two_is_named(address: str) -> None:
    found = meet_all(address, [3, 3, 3], [0, 1, 1])
    assert all('two processes were started as number 1 of 3' in str(error) for error in found)


def test_who_is_no_process_of_a_run_is_left_alone(address: str) -> None:
    def scan() -> None:
        for said in (b'GET / HTTP/1.1\r\n\r\n', b'\n', b'[1]\n', b'{"process": null}\n'):
            with socket.create_connection(rendezvous._parts(address)) as peer:
                peer.sendall(said)

    thread = threading.Timer(0.3, scan)
    thread.start()
    later = threading.Timer(0.8, lambda: close([meet(address, 2, 1, 5)]))
    later.start()
    close([meet(address, 2, 0, 10)])
    thread.join()
    later.join()


def test_a_loss_is_noticed_and_an_end_is_none(address: str) -> None:
    first, second, third = meet_all(address, [3, 3, 3], [0, 1, 2])
    noticed, event = [], threading.Event()
    first.watch(lambda number: (noticed.append(number), event.set()))
    third.end()
    close([third])
    close([second])
    assert event.wait(10)
    assert noticed == first.lost == [1]
    close([first])


def test_devices_that_there_are_not_end_in_one_line() -> None:
    code = 'from point_ft_jax.experiments import command_line as c\nc.guarded(c.start)'
    found = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'JAX_PLATFORMS': 'cuda'},
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    if found.returncode == 0:
        pytest.skip('a GPU is here, so that none is missing')
    assert found.returncode == 2
    [line] = found.stderr.splitlines()
    assert line.startswith('error: JAX finds no device of JAX_PLATFORMS=cuda')
    assert 'unset it to use what there is' in line


def test_an_unreachable_process_0_ends_in_a_message(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        processes.ADDRESS: address,
        processes.COUNT: '2',
        processes.ID: '1',
        processes.WAIT: '1',
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r'process 0 could not be reached at .* within 1 s'):
        processes.join()
