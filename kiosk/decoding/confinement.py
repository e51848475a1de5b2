"""What a process that decodes a stranger's picture may ask of the kernel: memory, its own files, an end.

A bug in a decoder can make it run its sender's code. That code then finds no key in the process, no environment, no
network, no file to open, no process to reach and no way to start one. Two walls of the kernel say so, each on its own:
Landlock, in which no file is named, around the worker and all it forks; and a filter of system calls (seccomp) around
each child. Where the kiosk is root's, the worker also leaves its account.

Sources: Linux, include/uapi/linux/{landlock,seccomp,prctl}.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass

MOST_FILES = 16
NOBODY = 65_534  # user and group that own nothing
LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF = 444, 446  # the same on every architecture
LANDLOCK_CREATE_RULESET_VERSION = 1
_FILE_RIGHTS = ((5, 16), (3, 15), (2, 14), (1, 13))  # from a version of Landlock on: how many rights of files it knows
_NET_VERSION, _NET_ALL = 4, 0b11  # to bind and to connect TCP
_SCOPE_VERSION, _SCOPE_ALL = 6, 0b11  # abstract sockets, and signals to processes outside
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38  # include/uapi/linux/prctl.h
SECCOMP_MODE_FILTER = 2
CLONE_THREAD = 0x10000
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000  # SECCOMP_RET_*, of linux/seccomp.h
_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06  # instructions of linux/bpf_common.h
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data
_X32 = 0x40000000  # the other numbering of x86-64, which would pass by the list
_FCNTL_COMMANDS = (1, 3, 5, 6, 7, 1030)  # GETFD, GETFL, GETLK, SETLK, SETLKW, DUPFD_CLOEXEC: none reaches a process

# name: x86-64, aarch64. From the kernel's tables; nothing here opens, connects, signals, traces or executes.
_CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "mincore": (27, 232),
    "madvise": (28, 233),
    "dup": (32, 23),
    "nanosleep": (35, 101),
    "setitimer": (38, 103),
    "getpid": (39, 172),
    "exit": (60, 93),
    "ftruncate": (77, 46),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "newfstatat": (262, 79),  # glibc's fstat
    "set_robust_list": (273, 99),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "rseq": (334, 293),
}
_CLONE, _CLONE3, _FCNTL = (56, 220), (435, 435), (72, 25)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH of linux/audit.h

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one picture may take."""

    processor_s: float = 6.0  # of one core; the slowest of 50 million pixels, a WebP, takes 1.2 on x86-64
    wall_s: float = 15.0  # with the wait for a turn, as large pictures are decoded one after another
    memory_mb: int = 900  # address space; the largest progressive JPEG is resident in 500


def limit_memory(limits: Limits) -> None:
    """Bound what this process and its children may take; nothing here is given back."""
    space = limits.memory_mb << 20
    for what, most in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_FSIZE, space),
        (resource.RLIMIT_NOFILE, MOST_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, ceiling = resource.getrlimit(what)
        most = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)  # noqa: PLW2901
        with suppress(OSError, ValueError):  # where a sandbox forbids it, the limits of time still hold
            resource.setrlimit(what, (most, most))
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def leave_account() -> None:
    """Become nobody, where this process is root's: neither its files nor its processes are within reach then."""
    if os.geteuid() != 0:
        return
    with suppress(OSError):  # in a namespace that has root alone; the walls below hold without
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def close_files() -> bool:
    """Take every file, TCP and every process outside from this one and its children; say whether that could be done.

    What is open stays open.
    """
    version = _libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        return False
    rights = next(count for least, count in _FILE_RIGHTS if version >= least)
    net, scopes = _NET_ALL if version >= _NET_VERSION else 0, _SCOPE_ALL if version >= _SCOPE_VERSION else 0
    attributes = struct.pack("=QQQ", (1 << rights) - 1, net, scopes)[: 24 if scopes else 16 if net else 8]
    ruleset = _libc.syscall(LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        return bool(_libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def die_with(parent: int) -> None:
    """End this process when its parent ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before we said so
        os._exit(1)


def limit_processor(limits: Limits) -> None:
    """Have the kernel end this process after more than its time, whatever it does."""
    whole = int(limits.processor_s) + 2
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (whole, whole))


def start_timer(limits: Limits) -> None:
    """Have the kernel end this process after its time, counted from now."""
    signal.setitimer(signal.ITIMER_PROF, limits.processor_s)  # SIGPROF ends a process that does not catch it


def confine() -> bool:
    """Take every call of the kernel from this process that decoding does not need; say whether that could be done."""
    program = _filter()
    if program is None:
        return False
    held = ctypes.create_string_buffer(program, len(program))
    told = _Program(len(program) // 8, ctypes.cast(held, ctypes.c_void_p))
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # without it only root may set a filter
    return bool(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(told), 0, 0) == 0)


def _filter() -> bytes | None:
    """Return the filter as instructions of classic BPF; None on a machine whose numbers are not known here."""
    machine = _MACHINES.get(os.uname().machine)
    if machine is None or sys.byteorder != "little":
        return None
    column, arch = machine
    refused = _do(_RETURN, _REFUSE | errno.EPERM)
    steps = [_do(_LOAD, _ARCH_AT), _do(_EQUAL, arch, 1, 0), _do(_RETURN, _KILL), _do(_LOAD, _NUMBER_AT)]
    steps += [_do(_AT_LEAST, _X32, 0, 1), refused]
    for numbers in _CALLS.values():
        steps += [_do(_EQUAL, numbers[column], 0, 1), _do(_RETURN, _ALLOW)]
    # A thread, no process; of clone3 the flags lie where no filter can look, and glibc then takes clone.
    steps += [_do(_EQUAL, _CLONE3[column], 0, 1), _do(_RETURN, _REFUSE | errno.ENOSYS)]
    steps += [_do(_EQUAL, _CLONE[column], 0, 4), _do(_LOAD, _ARGUMENTS_AT), _do(_ANY_BIT, CLONE_THREAD, 0, 1)]
    steps += [_do(_RETURN, _ALLOW), refused]
    steps += [_do(_EQUAL, _FCNTL[column], 1, 0), refused, _do(_LOAD, _ARGUMENTS_AT + 8)]
    for command in _FCNTL_COMMANDS:
        steps += [_do(_EQUAL, command, 0, 1), _do(_RETURN, _ALLOW)]
    return b"".join([*steps, refused])


def _do(instruction: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", instruction, if_true, if_false, value)
