#!/usr/bin/python3
"""Makes scripts/outage.svg, the moving picture in the README: a terminal with `fail-start 1`, and a drill of tests/example,
beside an application that writes to node 1. It is a recording: fail-start is built and run against three MySQL servers
started for it, and every character in the picture, and the time at which it appears, is what came in that run.

    scripts/picture.py

Installs what is missing on a Debian machine (as root or with sudo), and ends the servers, however it ends itself.
"""

import codecs
import contextlib
import io
import itertools
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unicodedata import east_asian_width
from xml.etree import ElementTree
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "scripts" / "outage.svg"
INIT = """\
CREATE DATABASE node{node}_db;
CREATE TABLE node{node}_db.writes (number INT PRIMARY KEY);
CREATE USER 'user'@'%' IDENTIFIED BY 'rootpass';
GRANT ALL PRIVILEGES ON node{node}_db.* TO 'user'@'%';
CREATE USER 'tester'@'%' IDENTIFIED BY 'testpass';
GRANT ALL PRIVILEGES ON *.* TO 'tester'@'%' WITH GRANT OPTION;
"""
# After how many seconds what is typed, and what it is answered with.
DRILL = "fail-start drill -- python3 failover_test.py"
SCENES = [(1.2, "fail-start 1", "(Y/N): "), (2.4, "N", "(Y/N): "), (2, "Y", "node 1: offline for"), (3, DRILL, "runs failed")]
EVERY = 0.4  # seconds, from write to write
ROWS, TERMINAL_COLUMNS, APPLICATION_COLUMNS = 13, 56, 46  # at 56 the summary's line happens to break between two words
WIDTH, HEIGHT = 8.4, 20  # of a character, in pixels
PLAIN, GREEN, RED, GREY = "#e6edf3", "#3fb950", "#ff7b72", "#8b949e"


def free_port(wanted):
    try:
        probe = socket.create_server(("127.0.0.1", wanted))
    except OSError:
        probe = socket.create_server(("127.0.0.1", 0))
    with probe:
        return probe.getsockname()[1]


def connect(port, node=1):
    # With TLS, which the account's way to log in asks for; the server's certificate is one that it made itself.
    account = {"user": "user", "password": "rootpass", "database": f"node{node}_db", "ssl": {"check_hostname": False}}
    return pymysql.connect(host="127.0.0.1", port=port, autocommit=True, connect_timeout=5, read_timeout=5, **account)


@contextlib.contextmanager
def node(number, folder, port):
    """Its server. It ends when its input is closed, as on leaving this; Ctrl-C is not for it, hence a session of its own."""
    folder = Path(folder, str(number))
    folder.mkdir()
    (folder / "init.sql").write_text(INIT.format(node=number))
    command = ["scripts/server", "mysql", folder, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as server:
        wait_for(server, port, number)
        yield


def wait_for(server, port, number):
    for _ in range(600):
        with contextlib.suppress(pymysql.MySQLError):
            return connect(port, number).close()
        if server.poll() is not None:
            break
        time.sleep(0.1)
    sys.exit("scripts/picture.py: the server does not serve")


def application(port, start, stop):
    """Writes a row now and then, on a connection that it keeps; after an error the next write opens a new one."""
    shown, connection = [], None
    for number in itertools.count(1):
        try:
            connection = connection or connect(port)
            connection.cursor().execute("INSERT INTO writes VALUES (%s)", [number])
            outcome, colour = "ok", GREEN
        except pymysql.MySQLError as error:
            connection = None
            code, message = error.args
            # "Access denied for user 'user'@'localhost'. Account is locked.": the end says why.
            outcome, colour = f"ERROR {code} {message.rstrip('.').split('. ')[-1]}", RED
        now = time.monotonic()
        line = f"{now - start:4.1f}s write {number:2} {outcome}"
        if len(line) > APPLICATION_COLUMNS:
            line = line[: APPLICATION_COLUMNS - 1].rstrip() + "…"
        shown.append((now, line + "\n", colour))
        if stop.wait(max(0, start + number * EVERY - now)):
            return shown


class Terminal:
    """A terminal with a shell in it, and what it showed: (when, text, colour)."""

    def __init__(self, folder, settings):
        self.shown = []
        # A read may end in the middle of a character, or of a line's end.
        self.decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")(), translate=True)
        self.shell, self.file = pty.fork()
        if self.shell == 0:
            os.chdir(folder)  # where no .env is found
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"], settings)
        termios.tcsetwinsize(self.file, (ROWS, TERMINAL_COLUMNS))

    def watch(self, seconds, until=None):
        seen, end = "", time.monotonic() + seconds
        while until is None or until not in seen:
            if not select.select([self.file], [], [], max(0, end - time.monotonic()))[0]:
                if until is None:
                    return
                sys.exit(f"scripts/picture.py: the terminal shows {seen!r} and not {until!r}")
            text = self.decoder.decode(os.read(self.file, 4096))
            seen += text
            self.shown.append((time.monotonic(), text, PLAIN))

    def type(self, line):
        for key in line:
            os.write(self.file, key.encode())
            self.watch(0.07)
        self.watch(0.2)
        os.write(self.file, b"\n")

    def close(self):
        # The shell hangs up on fail-start, should that still run, which then brings the node back. A read fails when no
        # process of the terminal is left.
        os.kill(self.shell, signal.SIGHUP)
        with contextlib.suppress(OSError):
            while os.read(self.file, 4096):
                pass
        os.close(self.file)
        os.waitpid(self.shell, 0)


def record(port, folder, settings):
    """What the terminal and the application showed, as (seconds, text, colour), and how many seconds it took."""
    stop = threading.Event()
    with contextlib.closing(Terminal(folder, settings)) as terminal, ThreadPoolExecutor() as threads:
        terminal.watch(10, until="$ ")
        start = time.monotonic()
        writer = threads.submit(application, port, start, stop)
        try:
            for pause, line, answer in SCENES:
                terminal.watch(pause)
                terminal.type(line)
                terminal.watch(40, until=answer)
            terminal.watch(3)
        finally:
            stop.set()
        seconds = time.monotonic() - start
        panes = terminal.shown, writer.result()
        return [[(max(0, at - start), *rest) for at, *rest in pane] for pane in panes], seconds


def layout(shown, columns):
    """Where a terminal puts it: pieces of [seconds, row, column, cells, text, colour]."""
    pieces, row, column = [], 0, 0
    for at, text, colour in shown:
        pieces.append([at, row, column, 0, "", colour])
        for character in text:
            cells = 0 if character == "\n" else 2 if east_asian_width(character) in "WF" else 1
            if cells == 0 or column + cells > columns:
                row, column = row + 1, 0
                pieces.append([at, row, column, 0, "", colour])
            if cells:
                pieces[-1][3] += cells
                pieces[-1][4] += character
                column += cells
    return [piece for piece in pieces if piece[4].strip()]


def draw(panes, seconds):
    """The SVG. Without animation, or for somebody who asked for less motion, it shows the end."""
    rules, drawn, left, height = {}, [], 0, ROWS * HEIGHT + 56
    for number, (title, columns, shown) in enumerate(panes):
        width = round(columns * WIDTH) + 28
        drawn += [
            f'<rect x="{left}" width="{width}" height="{height}" rx="8" fill="#161b22"/>',
            f'<text x="{left + 12}" y="24" fill="{GREY}">{escape(title)}</text>',
            f'<svg x="{left + 12}" y="44" width="{width - 24}" height="{ROWS * HEIGHT}"><g class="s{number}">',
        ]
        up, steps = 0, "0%{transform:none}"
        for at, row, column, cells, text, colour in layout(shown, columns):
            percent = f"{100 * at / seconds:.2f}%"
            if (row - ROWS + 1) * HEIGHT > up:
                up = (row - ROWS + 1) * HEIGHT
                steps += f"{percent}{{transform:translateY(-{up}px)}}"
            name = "t" + percent.strip("%").replace(".", "_")
            rules[name] = f"@keyframes {name}{{0%{{opacity:0}}{percent}{{opacity:1}}}}.{name}{{animation-name:{name}}}"
            # As wide in any font; and no viewer makes one space of several of this kind.
            place = f'x="{column * WIDTH:.1f}" y="{row * HEIGHT + 15}" textLength="{cells * WIDTH:.1f}"'
            text = escape(text).replace(" ", "\N{NO-BREAK SPACE}")
            drawn.append(f'<text class="{name}" {place} fill="{colour}">{text}</text>')
        drawn.append("</g></svg>")
        end = f"animation-name:s{number};transform:translateY(-{up}px)"
        rules[f"s{number}"] = f"@keyframes s{number}{{{steps}}}.s{number}{{{end}}}"
        left += width + 8
    size = f'viewBox="0 0 {left - 8} {height}" width="{left - 8}" height="{height}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        "<title>A terminal with fail-start 1 and a drill, beside an application that writes to node 1</title>",
        "<style>text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}",
        f"text,g{{animation:{seconds:.2f}s step-end infinite}}",
        *rules.values(),
        "@media(prefers-reduced-motion:reduce){text,g{animation:none!important}}</style>",
        *drawn,
        "</svg>\n",
    ])


def main():
    global pymysql
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(1))  # by way of every `finally`
    os.chdir(ROOT)
    subprocess.run(["scripts/install", "rust", "mysql", "pytest"], check=True)
    import pymysql  # which may just have been installed

    subprocess.run(["cargo", "build", "--quiet", "--locked", "--release"], check=True)
    programs = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release"
    ports = [free_port(wanted) for wanted in (3306, 3307, 3308)]
    names = "LOCAL_DB_PORT", "LOCAL_DB_PORT_NODE2", "LOCAL_DB_PORT_NODE3"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, contextlib.ExitStack() as nodes:
        for script in (ROOT / "tests" / "example").glob("*.py"):
            shutil.copy(script, folder)
        settings = {"LOCAL_DB_HOST": "127.0.0.1", "LOCAL_DB_PASSWORD": "rootpass", "HOME": folder, "TMPDIR": folder}
        settings |= dict(zip(names, map(str, ports)))
        settings |= {"PATH": f"{programs}:/usr/bin:/bin", "PS1": "$ ", "LANG": "C.UTF-8", "TERM": "dumb"}
        for number, port in enumerate(ports, 1):
            nodes.enter_context(node(number, folder, port))
        (terminal, writes), seconds = record(ports[0], folder, settings)
    title = f"Your application: a row into node 1 every {EVERY}s"
    svg = draw([("Your terminal", TERMINAL_COLUMNS, terminal), (title, APPLICATION_COLUMNS, writes)], seconds)
    ElementTree.fromstring(svg)  # fails unless it is well-formed
    new = PICTURE.with_suffix(".new")
    new.write_text(svg, encoding="utf-8")
    new.replace(PICTURE)


if __name__ == "__main__":
    main()
