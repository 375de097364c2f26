"""Processes of `python -m pyworker` that need not load it first: a copy of a process that has
loaded it runs it.

Loading takes up to a second of processor time, and the tests start some hundred supervisors and
commands. A helper process of each process of the run imports pyworker once, and forks for each
start. What it forks is a process like any other: a child of the test's process, with arguments,
environment, directory and files of its own, real signals and a real exit code.
Tests that look at how `python -m pyworker` itself starts use `subprocess`.
"""

import atexit
import ctypes
import gc
import importlib
import inspect
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parents[1]
_SYS_CLONE = {"x86_64": 56, "aarch64": 220}.get(os.uname().machine)
#: The parent of the new process is the parent of the one that forks: the test,
#: which can wait for its end.
_CLONE_PARENT = 0x8000
_PYWORKER = [sys.executable, "-m", "pyworker"]
_CODE = [sys.executable, "-c"]
#: What Python reads when it starts, and never again.
_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "COV")


class Warm(subprocess.Popen[Any]):
    """`subprocess.Popen` for `python -m pyworker ...` and for `python -c CODE ...`; of all else,
    the plain one.
    """

    def _execute_child(self, *values: Any) -> None:
        given = inspect.signature(subprocess.Popen._execute_child).bind(self, *values).arguments  # type: ignore[attr-defined]
        argv = [os.fspath(one) for one in given["args"]]
        env = {**(os.environ if given["env"] is None else given["env"])}
        plain = not (
            given["preexec_fn"] or given["pass_fds"] or given["start_new_session"] or given["shell"]
        )
        known = argv[:3] == _PYWORKER or argv[:2] == _CODE
        if _SYS_CLONE is None or not plain or not known or not _starts_alike(env):
            super()._execute_child(*values)  # type: ignore[misc]
            return
        ends = [("p2cread", "p2cwrite"), ("c2pwrite", "c2pread"), ("errwrite", "errread")]
        files = [
            standard if given[mine] == -1 else given[mine]
            for standard, (mine, _) in enumerate(ends)
        ]
        self.pid = _forker().fork(
            [argv, env, os.fspath(given["cwd"] or Path.cwd()), given["umask"]], files
        )
        self._child_created = True
        devnull = getattr(self, "_devnull", None)
        for mine, ours in ends:
            if -1 not in (given[mine], given[ours]) and given[mine] != devnull:
                os.close(given[mine])
        if devnull is not None:
            os.close(devnull)
        self._closed_child_pipe_fds = True


def run(argv: list[str], **options: Any) -> "subprocess.CompletedProcess[Any]":
    """`subprocess.run`, with a warm process."""
    text, timeout, check = (
        options.pop("input", None),
        options.pop("timeout", None),
        options.pop("check", False),
    )
    if text is not None:
        options["stdin"] = subprocess.PIPE
    if options.pop("capture_output", False):
        options.update(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with Warm(argv, **options) as process:
        try:
            out, err = process.communicate(text, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(argv, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def _starts_alike(env: dict[str, str]) -> bool:
    """Tell whether a Python of this environment starts as the helper did."""

    def read(given: dict[str, str]) -> dict[str, str]:
        return {
            name: given[name]
            for name in given
            if name.startswith(_AT_START) and name != "PYTHONWARNINGS"
        }

    return "COVERAGE_PROCESS_CONFIG" not in env and read(env) == read({**os.environ})


class _Forker:
    """The helper process, as the test's process sees it."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            # Its directory is the first place where it looks for modules.
            argv = [sys.executable, "-m", "kit.warm", str(theirs.fileno())]
            self._process = subprocess.Popen(
                argv, pass_fds=[theirs.fileno()], cwd=_TESTS, stdin=subprocess.DEVNULL
            )
        atexit.register(self.close)

    def fork(self, order: list[Any], files: list[int]) -> int:
        """Start a process with the standard files; gives its number."""
        with tempfile.TemporaryFile() as file:
            file.write(json.dumps(order).encode())
            file.flush()
            socket.send_fds(self._line, [b"."], [*files, file.fileno()])
        return int(self._line.recv(20))

    def close(self) -> None:
        self._line.close()
        self._process.wait(10)


_forkers: dict[int, _Forker] = {}


def _forker() -> _Forker:
    """Give the helper of this process."""
    if os.getpid() not in _forkers:
        _forkers[os.getpid()] = _Forker()
    return _forkers[os.getpid()]


def _load() -> None:
    """Import what the commands import when they are used."""
    for name in ("pyworker.cli", "pyworker.check", "pyworker.server", "pyworker.supervisor"):
        package = importlib.import_module(name)
        for module in pkgutil.iter_modules(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def _fork() -> int:
    """Fork a sibling."""
    api, libc = ctypes.pythonapi, ctypes.PyDLL(None)
    api.PyOS_BeforeFork()
    pid = int(libc.syscall(_SYS_CLONE, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0))
    if pid == 0:
        api.PyOS_AfterFork_Child()
    else:
        api.PyOS_AfterFork_Parent()
    return pid


def _wait_for_order(line: socket.socket) -> list[Any]:
    """Fork for each order that comes; returns it in the new process, which has the files of
    the order.
    """
    while True:
        said, files, _, _ = socket.recv_fds(line, 1, 4)
        if not said:
            os._exit(0)  # the test's process has ended
        pid = _fork()
        if pid == 0:
            break
        for file in files:
            os.close(file)
        line.send(str(pid).encode())
    for standard in range(3):
        os.dup2(files[standard], standard)
    os.lseek(files[3], 0, os.SEEK_SET)
    with open(files[3], "rb") as file:  # noqa: PTH123
        order: list[Any] = json.loads(file.read())
    for file_number in files[:3]:
        os.close(file_number)
    line.close()
    return order


def _obey(order: list[Any]) -> None:
    """Be the process that was ordered."""
    argv, env, cwd, umask = order
    os.chdir(cwd)
    if umask >= 0:
        os.umask(umask)
    os.environ.clear()
    os.environ.update(env)
    for action in filter(None, env.get("PYTHONWARNINGS", "").split(",")):
        warnings.simplefilter(action)
    sys.path[0] = cwd
    if argv[1] == "-m":
        sys.argv = argv[2:]
        runpy.run_module("pyworker", run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *argv[3:]]
        exec(compile(argv[2], "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    _load()
    _obey(_wait_for_order(socket.socket(fileno=int(sys.argv[1]))))
