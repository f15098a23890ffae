"""Tell whoever started this process that it does its work: the protocol of systemd's `Type=notify`.

`trunkline up` listens to it too. Source: sd_notify(3).
"""

from __future__ import annotations

import logging
import os
import socket

__all__ = ["say_ready"]

_log = logging.getLogger(__name__)


def say_ready() -> None:
    """Does nothing where nobody asked for it, by NOTIFY_SOCKET in the environment."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # of Linux' abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)  # who does not listen must not hold up calls
            channel.connect(address)
            channel.send(f"READY=1\nMAINPID={os.getpid()}\n".encode())
    except OSError as error:
        _log.warning("cannot say that we are ready: %s", error)
