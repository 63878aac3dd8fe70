import gc
import os
import socket

import pytest

from lanthorn_embedded.errors import PortInUse
from lanthorn_embedded.sockets import LOOPBACK, ReservedPort, open_listener, require_free


@pytest.mark.parametrize("host", [LOOPBACK, ""])
def test_a_listener_takes_connections_at_once(host: str) -> None:
    with open_listener(0, host=host, purpose="DICOM", option="--dicom-port") as listener:
        with socket.create_connection((LOOPBACK, listener.getsockname()[1]), timeout=5):
            connection, _ = listener.accept()
            connection.close()
        assert not os.get_blocking(listener.fileno())


@pytest.mark.parametrize("host", [LOOPBACK, ""])
def test_a_port_in_use_is_told_with_the_option_that_changes_it(host: str) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"HTTP port {port} is in use.*--http-port"):
            require_free(port, host=host, purpose="HTTP", option="--http-port")
    require_free(port, host=host, purpose="HTTP", option="--http-port")


def test_a_reserved_port_is_for_those_who_know_it() -> None:
    reserved = ReservedPort()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, reserved.number), timeout=5)
    with (
        socket.create_server((LOOPBACK, reserved.number)),
        socket.create_connection((LOOPBACK, reserved.number), timeout=5),
        pytest.raises(OSError, match="in use"),
    ):
        socket.create_server((LOOPBACK, reserved.number))


def test_reserved_ports_differ_until_they_are_let_go() -> None:
    ports = [ReservedPort() for _ in range(200)]
    numbers = {port.number for port in ports}
    assert len(numbers) == 200
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind((LOOPBACK, ports[0].number))
    number = ports[0].number
    del ports
    gc.collect()
    with socket.socket() as stranger:
        stranger.bind((LOOPBACK, number))
