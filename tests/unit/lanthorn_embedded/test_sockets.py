import os
import socket

import pytest
from lanthorn_embedded.errors import PortInUse
from lanthorn_embedded.sockets import LOOPBACK, is_free, open_listener, private_port, require_free


def test_a_listener_takes_connections_at_once() -> None:
    with open_listener(0, host=LOOPBACK, purpose="DICOM", option="--dicom-port") as listener:
        with socket.create_connection(listener.getsockname(), timeout=5):
            connection, _ = listener.accept()
            connection.close()
        assert not os.get_blocking(listener.fileno())


def test_a_port_in_use_is_told_with_the_option_that_changes_it() -> None:
    with open_listener(0, host=LOOPBACK, purpose="DICOM", option="--dicom-port") as listener:
        port = listener.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(PortInUse, match=f"HTTP port {port} is in use.*--http-port"):
            require_free(port, host=LOOPBACK, purpose="HTTP", option="--http-port")
    assert is_free(port)


def test_private_ports_are_free_and_not_of_the_range_of_outgoing_connections() -> None:
    port = private_port()
    assert is_free(port)
    assert 1024 < port < 32768
