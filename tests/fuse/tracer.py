"""Stops a process before the system call of one's choice, by ptrace."""
import ctypes
import os
import signal

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

_SEIZE, _INTERRUPT, _LISTEN, _SYSCALL, _DETACH = 0x4206, 0x4207, 0x4208, 24, 17
_GET_SYSCALL_INFO, _SYSCALL_INFO_ENTRY = 0x420e, 1
_TRACESYSGOOD, _TRACECLONE = 1, 8
_EVENT_STOP = 128
_WALL = 0x40000000
_SYSCALL_STOP = signal.SIGTRAP | 0x80


FDATASYNC = 75 if os.uname().machine == "x86_64" else 83


def _ptrace(request, thread, data=0, address=None):
    if _libc.ptrace(request, thread, address, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"ptrace {request}")


def _begins(thread):
    """The number of the system call that a stopped thread is about to begin, or None."""
    info = ctypes.create_string_buffer(88)  # struct ptrace_syscall_info
    _ptrace(_GET_SYSCALL_INFO, thread, ctypes.addressof(info), len(info))
    return int.from_bytes(info.raw[24:32], "little") if info.raw[0] == _SYSCALL_INFO_ENTRY else None


class Tracer:
    """All threads of a process that is our child, stopped at each of their system calls."""

    def __init__(self, process):
        self.process = process
        self.inside = {}  # thread: in a system call
        for thread in map(int, os.listdir(f"/proc/{process}/task")):
            _ptrace(_SEIZE, thread, _TRACESYSGOOD | _TRACECLONE)
            _ptrace(_INTERRUPT, thread)
            self.inside[thread] = False

    def run(self, kill_at, until):
        """Lets it run until the child `until` has ended: the number of system calls that were
        begun. It is killed instead of beginning number `kill_at`: None, and it is reaped."""
        count = 0
        while True:
            pid, status = os.waitpid(-1, _WALL)
            if pid == until and (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
                return count
            if not os.WIFSTOPPED(status):
                continue
            stop = os.WSTOPSIG(status)
            signal_to_pass = 0
            if stop == _SYSCALL_STOP:
                self.inside[pid] = not self.inside.get(pid, False)
                if self.inside[pid]:
                    count += 1
                    if count == kill_at:
                        self.kill()
                        return None
            elif status >> 16 == 0:
                signal_to_pass = stop
            _ptrace(_SYSCALL, pid, signal_to_pass)

    def hold(self, number, until):
        """Lets it run until a thread is about to begin that system call; there it waits until
        release(), and the others go on without us. Not before the child `until` has ended."""
        held = None
        while held is None:
            pid, status = os.waitpid(-1, _WALL)
            if pid == until and not os.WIFSTOPPED(status):
                raise AssertionError("it ended before the system call")
            if not os.WIFSTOPPED(status):
                continue
            stop = os.WSTOPSIG(status)
            if stop == _SYSCALL_STOP and _begins(pid) == number:
                held = pid
                continue
            _ptrace(_SYSCALL, pid, stop if stop != _SYSCALL_STOP and status >> 16 == 0 else 0)
        for thread in set(self.inside) - {held}:
            _ptrace(_INTERRUPT, thread)
            os.waitpid(thread, _WALL)
            _ptrace(_DETACH, thread)
        self.inside = {held: True}

    def release(self):
        for thread in self.inside:
            _ptrace(_DETACH, thread)
        self.inside = {}

    def kill(self):
        os.kill(self.process, signal.SIGKILL)
        while True:
            pid, status = os.waitpid(-1, _WALL)
            if pid == self.process and (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
                return
