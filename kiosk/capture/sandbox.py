"""The walls around the process that captures: it decodes what a network sends, and must not reach the key.

Four of them, put up by the process itself after its libraries are loaded and before it opens its camera; none can be
taken down again. Limits of its memory, so that a stream that makes a decoder ask for more ends this process and not the
kiosk; `no_new_privs`; Landlock (Linux 5.13), which names the few files it may open; and a filter of system
calls (seccomp), without which neither another program is started, nor another process looked into, nor, for a camera
that is no network's, a socket opened. The parent reads what stood up from the child, so that a kernel without Landlock
is said and not assumed. Plain ctypes: both are a few system calls.

Sources: Linux, include/uapi/linux/{landlock,seccomp,filter,audit,prctl}.h, Documentation/userspace-api/landlock.rst;
numbers of system calls: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kiosk.capture.sources import Source

# Of its own memory, without the slot's: half of what the unit allows the whole kiosk. Measured on x86-64 with two
# processors: 69 MB for a folder of pictures, 118 MB for H.264 of 1080 lines with four reference frames.
MOST_DATA_BYTES = 512 << 20
BYTES_PER_PIXEL = 12  # decoded, turned and in two orders of colours, at most at once
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446  # the same on every architecture
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV  # those that a rule for a file may hold
RIGHTS_BY_VERSION = (  # how many rights of files each version knows; include/uapi/linux/landlock.h
    (1, (1 << 13) - 1),
    (2, (1 << 14) - 1),  # REFER
    (3, (1 << 15) - 1),  # TRUNCATE
    (5, (1 << 16) - 1),  # IOCTL_DEV
)
NET_VERSION, BIND_TCP, CONNECT_TCP = 4, 1 << 0, 1 << 1
SCOPE_VERSION, SCOPE_ALL = 6, 1 << 0 | 1 << 1  # abstract unix sockets and signals of processes outside

NETWORK_FILES = (  # what resolving a name and checking a certificate read
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/run/systemd/resolve",
    "/run/resolvconf",
)
NETWORK = ("rtsp", "rtsps", "http", "https")
LIBRARIES = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/cpuinfo",
    "/proc/self",
    "/sys/devices/system",
)
PICAMERA2 = (
    "/dev",
    "/sys",
    "/proc",
    "/run/udev",
    "/etc/libcamera",
)  # it looks for its sensors, buffers and tuning there

ENVIRONMENT = (  # all that the process gets of ours
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",  # Jetson's libraries
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TZ",
)
ENVIRONMENT_OF_PICAMERA2 = "LIBCAMERA_"

# Each architecture: its number in the audit header, and what the filter is about.
ARCHITECTURES: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "ptrace": 101,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "kcmp": 312,
            "pidfd_getfd": 438,
            "process_madvise": 440,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "mount": 165,
            "umount2": 166,
            "pivot_root": 155,
            "chroot": 161,
            "open_tree": 428,
            "move_mount": 429,
            "fsopen": 430,
            "mount_setattr": 442,
            "unshare": 272,
            "setns": 308,
            "bpf": 321,
            "perf_event_open": 298,
            "userfaultfd": 323,
            "io_uring_setup": 425,
            "open_by_handle_at": 304,
            "name_to_handle_at": 303,
            "init_module": 175,
            "finit_module": 313,
            "kexec_load": 246,
            "execve": 59,
            "execveat": 322,
            "fork": 57,
            "vfork": 58,
            "clone": 56,
            "clone3": 435,
            "socket": 41,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "ptrace": 117,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "kcmp": 272,
            "pidfd_getfd": 438,
            "process_madvise": 440,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "mount": 40,
            "umount2": 39,
            "pivot_root": 41,
            "chroot": 51,
            "open_tree": 428,
            "move_mount": 429,
            "fsopen": 430,
            "mount_setattr": 442,
            "unshare": 97,
            "setns": 268,
            "bpf": 280,
            "perf_event_open": 241,
            "userfaultfd": 282,
            "io_uring_setup": 425,
            "open_by_handle_at": 265,
            "name_to_handle_at": 264,
            "init_module": 105,
            "finit_module": 273,
            "kexec_load": 104,
            "execve": 221,
            "execveat": 281,
            "clone": 220,
            "clone3": 435,
            "socket": 198,
        },
    ),
}
STARTS_PROGRAMS = ("execve", "execveat", "fork", "vfork", "clone")
X32 = 0x40000000  # calls of another ABI of x86-64, by other numbers
CLONE_THREAD = 0x00010000
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16

# Classic BPF: code, jumps, value; include/uapi/linux/bpf_common.h.
_LOAD, _EQUAL, _AT_LEAST, _ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CALL_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # of struct seccomp_data; the low half comes first
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_INSTRUCTION = struct.Struct("=HBBI")


def environment_for(source: Source, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of our environment the process needs: no credentials' folder, no state, no secrets."""
    is_wanted = ENVIRONMENT_OF_PICAMERA2 if source.kind == "picamera2" else None
    return {
        name: value
        for name, value in environment.items()
        if name in ENVIRONMENT or (is_wanted is not None and name.startswith(is_wanted))
    }


def confine(source: Source, max_pixels: int) -> str:
    """Put up the walls around this process, which has one thread; return which ones stand.

    Args:
        source: what it captures.
        max_pixels: of the largest frame; memory for some of them comes on top of the limit.

    Raises:
        OSError: the kernel has a wall and does not put it up.
    """
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    if threads != 1:  # a wall goes around the thread that asks for it and those it starts
        raise OSError(f"{threads} threads run already; the sandbox holds only what starts after it")
    libc = ctypes.CDLL(None, use_errno=True)
    _limit(resource.RLIMIT_DATA, MOST_DATA_BYTES + BYTES_PER_PIXEL * max_pixels)
    _limit(resource.RLIMIT_CORE, 0)
    _call(libc.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = landlock_version(libc)
    if version:
        _restrict_files(libc, version, source)
    program = call_filter(source, platform.machine())
    if program is not None:
        install_filter(libc, program)
    return available_walls()


def available_walls() -> str:
    """Return which walls this machine has, such as "landlock 6, seccomp" or "no landlock, seccomp"."""
    version = landlock_version()
    files = f"landlock {version}" if version else "no landlock"
    return f"{files}, {'seccomp' if platform.machine() in ARCHITECTURES else 'no seccomp'}"


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def landlock_version(libc: ctypes.CDLL | None = None) -> int:
    """Return the version of Landlock that the kernel has; 0 where it has none or it is switched off."""
    libc = libc or ctypes.CDLL(None, use_errno=True)
    try:
        return _call(libc.syscall, LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    except OSError:
        return 0


def _call(function: Callable[..., int], *words: Any) -> int:
    """Call a function of the C library, whole numbers as C's long, and raise what it reports."""
    found = int(function(*(ctypes.c_long(word) if isinstance(word, int) else word for word in words)))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found


# ---- files


def readable_for(source: Source) -> Iterator[Path]:
    """Yield the files and folders that the process may read: libraries, what its kind of camera is made of."""
    yield from map(Path, LIBRARIES)
    yield from (Path(entry) for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry)
    yield Path(sys.base_prefix)
    yield Path(sys.prefix)
    yield Path(__file__).resolve().parent.parent  # imports of ours that come late
    # Not all of sys.path: where the kiosk is run from a checkout, its first entry is the checkout, state and all.
    yield from (Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages"))
    if source.kind in NETWORK:
        yield from map(Path, NETWORK_FILES)
        yield from (Path(os.environ[name]) for name in ("SSL_CERT_DIR", "SSL_CERT_FILE") if name in os.environ)
    elif source.kind == "picamera2":
        yield from map(Path, PICAMERA2)
    elif source.kind in ("file", "dir"):
        yield Path(source.address)
        if source.kind == "dir" and Path(source.address).is_dir():
            yield from (path for path in Path(source.address).iterdir() if path.is_symlink())
    elif source.kind == "demo":
        yield from source.portraits


def writable_for(source: Source) -> Iterator[Path]:
    """Yield the devices and folders that the process may also write to and control."""
    if source.kind == "v4l2":
        yield Path(source.address)
    elif source.kind == "picamera2":
        yield Path("/dev")
    yield Path("/dev/null")


def _restrict_files(libc: ctypes.CDLL, version: int, source: Source) -> None:
    known = next(rights for least, rights in reversed(RIGHTS_BY_VERSION) if version >= least)
    net = 0
    if version >= NET_VERSION:
        net = BIND_TCP if source.kind in NETWORK else BIND_TCP | CONNECT_TCP
    scopes = SCOPE_ALL if version >= SCOPE_VERSION else 0
    attributes = struct.pack("=QQQ", known, net, scopes)[: 24 if scopes else 16 if net else 8]
    ruleset = _call(libc.syscall, LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        reads = READ_FILE | READ_DIR
        if source.kind == "picamera2":
            reads |= EXECUTE  # libcamera may run a part of itself as a process: it inherits these walls
        _allow(libc, ruleset, readable_for(source), reads)
        _allow(libc, ruleset, writable_for(source), (reads | WRITE_FILE | IOCTL_DEV) & known)
        _call(libc.syscall, LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, paths: Iterable[Path], rights: int) -> None:
    for path in paths:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP):
                continue  # what is not there cannot be read either way
            raise
        try:
            allowed = rights if path.is_dir() else rights & FILE_RIGHTS
            rule = struct.pack("=Qi", allowed, handle)
            _call(libc.syscall, LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        finally:
            os.close(handle)


# ---- system calls


def install_filter(libc: ctypes.CDLL, program: Sequence[tuple[int, int, int, int]]) -> None:
    """Hand a filter to the kernel; it holds for this thread and those it starts, beside the filters before it."""
    content = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*one) for one in program))
    whole = struct.pack("@HP", len(program), ctypes.addressof(content))
    _call(libc.prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(whole), 0, 0)


def call_filter(source: Source, machine: str) -> list[tuple[int, int, int, int]] | None:
    """Return the filter as instructions of classic BPF; None for a processor whose numbers are not known.

    A call that is refused fails with EPERM: a library that tries goes another way, and nothing dies of it.
    """
    if machine not in ARCHITECTURES:
        return None
    audit, number_by_name = ARCHITECTURES[machine]
    refused = (_RETURN, 0, 0, _REFUSE | errno.EPERM)
    program: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _CALL_AT),
    ]
    if machine == "x86_64":
        program += [(_AT_LEAST, 0, 1, X32), refused]
    may_start = source.kind == "picamera2"
    for name, number in number_by_name.items():
        if name == "clone3":  # its flags lie in memory, where a filter sees nothing: without it, clone(2) is used
            program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE | errno.ENOSYS)]
        elif name == "clone" and not may_start:  # threads, and no processes
            program += [
                (_EQUAL, 0, 4, number),
                (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
                (_ANY, 1, 0, CLONE_THREAD),
                refused,
                (_RETURN, 0, 0, _ALLOW),
            ]
        elif name == "socket":
            program += _sockets(source, number)
        elif name not in STARTS_PROGRAMS or not may_start:
            program += [(_EQUAL, 0, 1, number), refused]
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _sockets(source: Source, number: int) -> list[tuple[int, int, int, int]]:
    """Return the part of the filter that lets a camera of the network have its sockets, and no other."""
    families: tuple[int, ...] = ()
    if source.kind in NETWORK:
        families = (AF_INET, AF_INET6, AF_UNIX, AF_NETLINK)  # the last two for names: systemd-resolved, addresses
    elif source.kind == "picamera2":
        families = (AF_UNIX, AF_NETLINK)  # its own processes, and what is plugged in
    checks = [(_EQUAL, len(families) - place, 0, family) for place, family in enumerate(families)]
    return [
        (_EQUAL, 0, len(checks) + 3, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        *checks,
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


__all__ = [
    "available_walls",
    "call_filter",
    "confine",
    "environment_for",
    "install_filter",
    "landlock_version",
    "readable_for",
    "writable_for",
]
