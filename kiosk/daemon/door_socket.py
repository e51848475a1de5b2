"""`kiosk door release`, `lockdown` and `lift`, on the device: a unix socket, and the kernel's word on who asks.

Root and the kiosk's own account may release the door when no operator can be recognised: the key is missing, the store
is damaged, the kiosk has not started. Nobody else may, whatever they send. A lift names the account whose password the
command has checked: whoever may ask here can read the store's key as well, so it is not checked again.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kiosk.errors import KioskError, RefusedError

if TYPE_CHECKING:  # who asks for a release in need loads none of it
    from kiosk.daemon.doorway import Doorway

NAME = "door.sock"
SYSTEM = Path("/run/kiosk")  # systemd's runtime directory of the unit
ANSWER_S = 5.0
AGAIN_S = 0.2  # until whoever asks is answered after all
MOST_BYTES = 1000
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED

log = logging.getLogger("kiosk.daemon")


class DoorSocket:
    """The socket, and the thread that answers at it."""

    def __init__(self, directory: Path, doorway: Doorway) -> None:
        """Listen.

        Args:
            directory: of the runtime, or the state.
            doorway: is released, locked down, and lifted.

        Raises:
            OSError: there is no place for the socket.
        """
        self._doorway = doorway
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        path = Path(f"/proc/self/fd/{self._directory}/{NAME}")  # a socket's path may have 107 bytes at most
        try:
            if _is_answered(path):  # another kiosk's: it keeps its command
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            path.unlink(missing_ok=True)
            self._listening.bind(str(path))
            path.chmod(0o600)
            self._listening.listen(4)
        except OSError:
            self._listening.close()
            os.close(self._directory)
            raise
        self._path, self._closing = path, threading.Event()
        threading.Thread(target=self._serve, name="door socket", daemon=True).start()

    def __enter__(self) -> DoorSocket:  # noqa: PYI034  typing.Self is not in Python 3.10
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Answer nobody any more."""
        self._closing.set()
        self._path.unlink(missing_ok=True)
        self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._listening.close()
        os.close(self._directory)

    def _serve(self) -> None:
        said = ""
        while True:
            try:
                asking, _ = self._listening.accept()
            except OSError as error:
                if self._closing.is_set():
                    return
                # A process that ran out of descriptors is one whose door may have to be released.
                if str(error) != said:  # once, as it is tried five times a second
                    said = str(error)
                    log.warning("door socket error=%r", said)
                self._closing.wait(AGAIN_S)
                continue
            said = ""
            with asking:
                asking.settimeout(ANSWER_S)
                try:
                    asking.sendall(json.dumps(self._answer(asking)).encode() + b"\n")
                except (OSError, ValueError) as error:  # whoever asked has gone, or sent nonsense
                    log.warning("door socket error=%r", str(error))

    def _answer(self, asking: socket.socket) -> dict[str, object]:
        _, uid, _ = _CREDENTIALS.unpack(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid not in {0, os.geteuid()}:
            log.warning("door socket refused uid=%d", uid)
            return {"refused": "only root and the kiosk's own account may release the door here"}
        actor = "root" if uid == 0 else f"uid {uid}"
        try:
            return {"is_done": self._do(asking.recv(MOST_BYTES).decode().strip(), actor)}
        except (KioskError, ValueError) as error:
            return {"refused": str(error)}

    def _do(self, request: str, actor: str) -> bool:
        """Do what is asked: "release", or an object of JSON with one of `lockdown` and `lift`."""
        if request == "release":
            self._doorway.release(actor=actor)
            return True
        asked: Any = json.loads(request) if request.startswith("{") else {}
        match asked:
            case {"lockdown": {"reason": str(reason), "is_fleet_wide": bool(is_fleet_wide)}}:
                self._doorway.lockdown.begin(actor=actor, reason=reason, is_fleet_wide=is_fleet_wide)
            case {"lift": {"by": str(account)}}:
                self._doorway.lift_lockdown(actor=account)
            case _:
                raise RefusedError("this release of the kiosk knows no such request")
        return True


def _is_answered(path: Path) -> bool:
    """Say whether somebody listens at a socket's path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(ANSWER_S)
        return asking.connect_ex(str(path)) == 0


def runtime_directory(environment: Mapping[str, str], state: Path) -> Path:
    """Return where the socket lies: in the runtime directory that systemd names, else in the state directory."""
    named = environment.get("RUNTIME_DIRECTORY")
    return Path(named.split(":", maxsplit=1)[0]) if named else state


RELEASE = "release"


def ask_door(directories: Sequence[Path], request: str = RELEASE) -> None:
    """Have the running kiosk open its door for one pulse, or lock it down, or lift that.

    Args:
        directories: where its socket may lie, the likeliest first.
        request: RELEASE, or an object of JSON as `DoorSocket` takes it.

    Raises:
        RefusedError: no kiosk runs there, or it did not do so; says why.
    """
    for directory in directories:
        try:
            place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
                asking.settimeout(2 * ANSWER_S)
                try:
                    asking.connect(f"/proc/self/fd/{place}/{NAME}")
                except (FileNotFoundError, ConnectionRefusedError):
                    continue
                asking.sendall(request.encode() + b"\n")
                answer = json.loads(asking.makefile("rb").readline(MOST_BYTES))
        except PermissionError:
            raise RefusedError("only root and the kiosk's own account may do this: sudo kiosk door …") from None
        except (OSError, ValueError) as error:
            raise RefusedError(f"the kiosk gave no answer ({error}); is it running? systemctl status kiosk") from error
        finally:
            os.close(place)
        if answer.get("is_done") is not True:
            raise RefusedError(str(answer.get("refused")))
        return
    looked = ", ".join(str(directory / NAME) for directory in directories)
    raise RefusedError(f"no kiosk answers at {looked}; is it running? systemctl status kiosk")
