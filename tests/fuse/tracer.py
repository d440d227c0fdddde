"""Stops a process before the system call of one's choice, by ptrace."""
import ctypes
import os
import signal

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

_SEIZE, _INTERRUPT, _LISTEN, _SYSCALL = 0x4206, 0x4207, 0x4208, 24
_TRACESYSGOOD, _TRACECLONE = 1, 8
_EVENT_STOP = 128
_WALL = 0x40000000
_SYSCALL_STOP = signal.SIGTRAP | 0x80


def _ptrace(request, thread, data=0):
    if _libc.ptrace(request, thread, None, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"ptrace {request}")


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

    def kill(self):
        os.kill(self.process, signal.SIGKILL)
        while True:
            pid, status = os.waitpid(-1, _WALL)
            if pid == self.process and (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
                return
