#!/usr/bin/python3
"""Measures fail-start on real servers, MySQL and MariaDB, beside other ways to do the same, and prints tables:

    scripts/bench.py             all of it
    scripts/bench.py idle size   those parts: idle, sessions, nodes, drill, size

Times are medians of several runs (processor times are means), how many sessions still write is of one; what is compared
runs in turn. Installs what is missing on a Debian machine (as root or with sudo), builds fail-start, and ends the servers,
however it ends itself. Traffic goes to loopback only.
"""

import asyncio
import contextlib
import multiprocessing
import os
import platform
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median

ROOT = Path(__file__).resolve().parent.parent
KINDS = {"mysql": "MySQL", "mariadb": "MariaDB"}
ROUNDS = 9
SESSIONS = {10: ROUNDS, 100: ROUNDS, 1000: ROUNDS, 5000: 3}  # how many, and in how many runs
NODES = (1, 3, 16, 64)
DISTANCES = (0, 20, 100)  # ms of round trip
PROMPT = b"(Y/N): "
ADMIN = {"user": "tester", "password": "testpass", "autocommit": True}
ACCOUNT = {"user": "user", "password": "rootpass", "autocommit": True}
INIT = """\
CREATE DATABASE IF NOT EXISTS node1_db;
CREATE TABLE IF NOT EXISTS node1_db.t (id INT AUTO_INCREMENT PRIMARY KEY);
CREATE USER IF NOT EXISTS 'user'@'%' IDENTIFIED BY 'rootpass';
GRANT ALL PRIVILEGES ON node1_db.* TO 'user'@'%';
CREATE USER IF NOT EXISTS 'tester'@'%' IDENTIFIED BY 'testpass';
GRANT ALL PRIVILEGES ON *.* TO 'tester'@'%' WITH GRANT OPTION;
""" + "".join(f"""\
CREATE DATABASE IF NOT EXISTS node{number}_db;
GRANT ALL PRIVILEGES ON node{number}_db.* TO 'user'@'%';
""" for number in range(2, max(NODES) + 1))

# What one would type: lock, list, kill, a client for each; and no FLUSH PRIVILEGES, which the script's way has.
SHELL = """
for port; do
  mariadb $TLS --host=127.0.0.1 --port="$port" --user=tester --execute="ALTER USER 'user'@'%' ACCOUNT LOCK"
  mariadb $TLS --host=127.0.0.1 --port="$port" --user=tester --skip-column-names \\
    --execute="SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist WHERE user = 'user'" |
    mariadb $TLS --host=127.0.0.1 --port="$port" --user=tester --force
done
printf '(Y/N): '
read -r
for port; do
  mariadb $TLS --host=127.0.0.1 --port="$port" --user=tester --execute="ALTER USER 'user'@'%' ACCOUNT UNLOCK"
done
"""


class Server:
    """A server that ends with this program, since scripts/server ends when its input does."""

    def __init__(self, kind):
        self.kind = kind
        self.folder = Path(tempfile.mkdtemp(prefix="fail-start-"))
        (self.folder / "init.sql").write_text(INIT)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        command = ["scripts/server", kind, self.folder, str(self.port), f"--max-connections={max(SESSIONS) + 100}"]
        # Ctrl-C is not for it, hence a session of its own.
        self.script = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        # A session by the socket needs no TLS, so that thousands are soon open.
        self.socket = str(self.folder / "socket")

    def connect(self, **account):
        return pymysql.connect(unix_socket=self.socket, **account)

    def wait(self):
        for _ in range(600):
            with contextlib.suppress(pymysql.MySQLError):
                self.admin = self.connect(**ADMIN).cursor()
                return
            if self.script.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit(f"scripts/bench.py: {KINDS[self.kind]} does not serve")

    def ask(self, statement):
        self.admin.execute(statement)
        return self.admin.fetchone()

    def processor_time(self):
        """How many milliseconds of it the server has used so far, in steps of ten."""
        numbers = Path(f"/proc/{(self.folder / 'pid').read_text().strip()}/stat").read_text().rpartition(")")[2].split()
        return 1000 * (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.script.stdin.close()
        self.script.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def servers(kind, count):
    started = [Server(kind) for _ in range(count)]
    try:
        for server in started:
            server.wait()
        yield started
    finally:
        for server in started:
            server.stop()


def settings(ports):
    """The environment of fail-start: node N is on the N-th port."""
    variables = {f"LOCAL_DB_{name}_NODE{number}": value
                 for number, port in enumerate(ports, 1)
                 for name, value in (("HOST", "127.0.0.1"), ("PORT", str(port)))}
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}


class Outage:
    """A program that fails nodes: how many milliseconds from its start to its prompt, and from Y to its end."""

    def __init__(self, command, environment):
        began = time.perf_counter()
        # In the root folder no .env is found.
        with subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env=environment, cwd="/") as program:
            printed = b""
            while PROMPT not in printed:
                more = os.read(program.stdout.fileno(), 65536)
                if not more:
                    sys.exit(f"scripts/bench.py: {command[0]} printed {printed.decode()!r} and ended")
                printed += more
            self.out = 1000 * (time.perf_counter() - began)
            self.offline()
            status = Path(f"/proc/{program.pid}/status").read_text()
            self.mebibytes = int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024
            began = time.perf_counter()
            program.stdin.write(b"Y\n")
            program.stdin.close()
            while os.read(program.stdout.fileno(), 65536):
                pass
            if program.wait():
                sys.exit(f"scripts/bench.py: {command[0]} ended with {program.returncode}")
            self.back = 1000 * (time.perf_counter() - began)

    def offline(self):
        """Runs while the nodes are offline."""


def in_turn(contenders, rounds=ROUNDS, before=lambda: None):
    """What each gave in each round; the first round, in which caches fill, does not count. `before` runs before each."""
    given = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            before()
            result = run()
            if number:
                given[name].append(result)
    return given


def table(heads, rows):
    def line(cells):
        return "| " + " | ".join(map(str, cells)) + " |"

    print(line(heads), line("---" for _ in heads), *map(line, rows), "", sep="\n", flush=True)


def figure(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def idle():
    """Three idle nodes: start to prompt, and Y to exit."""
    rows, slower = {}, {}
    for kind in KINDS:
        with servers(kind, 3) as started:
            ports = [server.port for server in started]
            tls = "--ssl" if kind == "mysql" else ""  # which its way to log in asks for
            shell = {"PATH": os.environ["PATH"], "MYSQL_PWD": ADMIN["password"], "TLS": tls}

            def log_in():
                """Else who comes after the script's way pays for its FLUSH PRIVILEGES: MySQL forgets who has logged in."""
                for server in started:
                    server.connect(**ADMIN).close()

            given = in_turn({
                "fail-start": lambda: Outage([FAIL_START, 1, 2, 3], settings(ports)),
                "the client in a shell loop": lambda: Outage(["bash", "-c", SHELL, "bash", *ports], shell),
                "the script's way": lambda: Outage([PYTHON, ROOT / "scripts/bench_script.py", *ports], {}),
            }, before=log_in)
            out = {name: median([outage.out for outage in outages]) for name, outages in given.items()}
            slower[kind] = out["the script's way"] / out["fail-start"]
            for name, outages in given.items():
                rows.setdefault(name, []).extend(
                    figure(median(values)) for values in zip(*((outage.out, outage.back) for outage in outages)))
    print("Three idle nodes, ms:\n")
    ratios = [f"{KINDS[kind]} {ratio:.1f}" for kind, ratio in slower.items()]
    heads = [f"{name}, {which}" for name in KINDS.values() for which in ("start to prompt", "Y to exit")]
    table(["", *heads], [[name, *figures] for name, figures in rows.items()])
    print(f"From start to prompt the script's way takes so many times as long: {', '.join(ratios)}\n")


class Cut:
    """One way to end sessions: when it says that it is done, when they are gone, how many still write after it said so."""

    def __init__(self, server, sessions, write):
        self.server, self.write = server, write
        server.admin.execute("TRUNCATE node1_db.t")
        self.open = [server.connect(**ACCOUNT, database="node1_db") for _ in range(sessions)]
        self.began = time.perf_counter()
        self.run()
        for connection in self.open:
            with contextlib.suppress(Exception):
                connection.close()
        self.wait_until_gone()

    def wait_until_gone(self):
        while self.server.ask("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'user'") != (0,):
            time.sleep(0.005)

    def elapsed(self):
        return 1000 * (time.perf_counter() - self.began)

    def done(self):
        """To be called as soon as it says so. Either waits for their end or lets them write: one would disturb the other."""
        self.says = self.elapsed()
        if not self.write:
            self.wait_until_gone()
            self.gone = self.elapsed()
            return
        # To all of them first: an answer that is waited for would give the next session time to end.
        for connection in self.open:
            with contextlib.suppress(Exception):
                connection._execute_command(pymysql.constants.COMMAND.COM_QUERY, "INSERT INTO t VALUES ()")
        time.sleep(1)
        self.wrote = self.server.ask("SELECT COUNT(*) FROM node1_db.t")[0]


class ByFailStart(Cut):
    def run(self):
        cut = self

        class Hooked(Outage):
            def offline(self):
                cut.done()

        self.mebibytes = Hooked([FAIL_START, 1], settings([self.server.port])).mebibytes


class ByServer(Cut):
    def run(self):
        if self.server.kind == "mysql":
            self.server.admin.execute("SET GLOBAL offline_mode = ON")
            self.done()
            self.server.admin.execute("SET GLOBAL offline_mode = OFF")
        else:
            self.server.admin.execute("KILL USER 'user'@'%'")
            self.done()


class ByPtKill(Cut):
    def run(self):
        """It looks once a second at the most, and ends by time only."""
        command = ["pt-kill", "--no-version-check", f"--socket={self.server.socket}", "--user=tester",
                   "--password=testpass", "--match-user=^user$", "--victims=all", "--kill", "--interval=1", "--run-time=1"]
        with subprocess.Popen(command) as program:
            if not self.write:
                self.wait_until_gone()
                gone = self.elapsed()
        self.done()
        if not self.write:
            self.gone = gone


def sessions():
    rows, ratios, peak = [], [], 0
    for kind in KINDS:
        own = "`offline_mode`" if kind == "mysql" else "`KILL USER`"
        ways = {"fail-start": ByFailStart, own: ByServer, "pt-kill": ByPtKill}
        with servers(kind, 1) as [server]:
            for count, rounds in SESSIONS.items():
                given = in_turn({name: lambda way=way: way(server, count, False) for name, way in ways.items()}, rounds)
                if count == 1000:
                    gone = {name: median([cut.gone for cut in cuts]) for name, cuts in given.items()}
                    ratios.append(f"{KINDS[kind]} {gone['fail-start'] / gone[own]:.2f}")
                for name, way in ways.items():
                    cuts = given[name]
                    if name == "fail-start":
                        peak = max(peak, *(cut.mebibytes for cut in cuts))
                    rows.append([KINDS[kind], count, name, figure(median([cut.says for cut in cuts])),
                                 figure(median([cut.gone for cut in cuts])), way(server, count, True).wrote])
    print("Sessions, ms:\n")
    table(["server", "sessions", "ended by", "says that it is done", "all are gone", "write after it said so"], rows)
    print(f"Of 1000, fail-start takes so many times as long as the server's own way until all are gone: {', '.join(ratios)}\n")
    print(f"Peak memory of fail-start: {peak:.1f} MiB\n")


async def delay(reader, writer, seconds):
    """What comes in goes out so much later."""
    clock, queue = asyncio.get_running_loop().time, asyncio.Queue()

    async def take():
        data = True
        while data:
            try:
                data = await reader.read(65536)
            except OSError:  # it was cut
                data = b""
            queue.put_nowait((clock() + seconds, data))

    async def give():
        data = True
        while data:
            due, data = await queue.get()
            await asyncio.sleep(due - clock())
            writer.write(data)
        writer.close()

    await asyncio.gather(take(), give())


def far_away(listeners, ports, distance):
    """Passes on what comes to each listener to the server on its port, so many milliseconds of round trip away."""
    async def serve(listener, port):
        async def pass_on(reader, writer):
            # To connect takes a round trip too.
            await asyncio.sleep(distance / 1000)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(delay(reader, far_writer, distance / 2000), delay(far_reader, writer, distance / 2000))

        async with await asyncio.start_server(pass_on, sock=listener) as server:
            await server.serve_forever()

    async def serve_all():
        await asyncio.gather(*map(serve, listeners, ports))

    asyncio.run(serve_all())


@contextlib.contextmanager
def at_distance(ports, distance):
    """The ports by which the servers are so many milliseconds of round trip away."""
    if not distance:
        yield ports
        return
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=1000) for _ in ports]
    for listener in listeners:
        # As servers have it, and what is accepted inherits it: else an answer in two packets takes 40 ms more.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    proxy = multiprocessing.get_context("fork").Process(target=far_away, args=(listeners, ports, distance), daemon=True)
    proxy.start()
    try:
        yield [listener.getsockname()[1] for listener in listeners]
    finally:
        proxy.kill()
        proxy.join()
        for listener in listeners:
            listener.close()


def nodes():
    """1 to 64 nodes, near and far: databases on three servers, revoked."""
    rows, ratios = [], []
    for kind in KINDS:
        with servers(kind, 3) as started:
            ports = [server.port for server in started]
            took, busy = {}, {}
            for distance in DISTANCES:
                with at_distance(ports, distance) as there:
                    environment = settings([there[number % 3] for number in range(max(NODES))])

                    def run(count):
                        before = sum(server.processor_time() for server in started)

                        class Busy(Outage):
                            def offline(self):
                                self.busy = sum(server.processor_time() for server in started) - before

                        return Busy([FAIL_START, "--method=revoke", *range(1, count + 1)], environment)

                    for count, outages in in_turn({count: lambda count=count: run(count) for count in NODES}, 5).items():
                        took[count, distance] = median([outage.out for outage in outages])
                        busy[count, distance] = mean([outage.busy for outage in outages])
            near, far = DISTANCES[-2:]
            for count in NODES:
                trips = (took[count, far] - took[count, near]) / (far - near)
                rows.append([KINDS[kind], count, *(figure(took[count, distance]) for distance in DISTANCES), f"{trips:.1f}",
                             figure(busy[count, 0])])
            ratios.append(f"{KINDS[kind]} {took[max(NODES), far] / took[min(NODES), far]:.2f}")
    print("Nodes, start to prompt, ms, by the round trip to them:\n")
    table(["server", "nodes", *(f"{distance} ms" for distance in DISTANCES), "round trips", "the servers' processor time"], rows)
    print(f"{max(NODES)} nodes at {max(DISTANCES)} ms take so many times as long as one: {', '.join(ratios)}\n")


def drill():
    """A drill of all seven sets of three idle nodes, with a command that does nothing."""
    with servers("mysql", 3) as started:
        command = [FAIL_START, "drill", "--at-once", "3", "--", "true"]
        environment = {**os.environ, **settings([server.port for server in started])}
        took = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            subprocess.run(command, env=environment, check=True, capture_output=True)
            took.append(1000 * (time.perf_counter() - began))
    print(f"A drill of 7 sets of three idle MySQL nodes, with `true`: {figure(median(took))} ms\n")


def size():
    print(f"The binary: {FAIL_START.stat().st_size / 1e6:.1f} MB\n")


PARTS = {"idle": idle, "sessions": sessions, "nodes": nodes, "drill": drill, "size": size}


def main():
    global FAIL_START, PYTHON, pymysql
    wanted = sys.argv[1:] or PARTS
    if unknown := set(wanted) - set(PARTS):
        sys.exit(f"scripts/bench.py: unknown part: {', '.join(unknown)} (there are {', '.join(PARTS)})")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(1))  # by way of every `finally`
    os.chdir(ROOT)
    subprocess.run(["scripts/install", "rust", "mysql", "mariadb", "pytest", "bench"], check=True)
    import pymysql  # which may just have been installed
    import pymysql.constants.COMMAND

    subprocess.run(["cargo", "build", "--quiet", "--locked", "--release"], check=True)
    FAIL_START = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release/fail-start"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    PYTHON = cache / "fail-start/bench/bin/python"
    # Thousands of open sessions are files, too.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    processor = re.search("model name\\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(f"{len(os.sched_getaffinity(0))} cores of {processor}, {memory:.0f} GiB, Linux {platform.release()}\n")
    for part in wanted:
        PARTS[part]()


if __name__ == "__main__":
    main()
