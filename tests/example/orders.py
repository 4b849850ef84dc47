"""A small application over three MySQL nodes: each order is written to node 1, and to nodes 2 and 3 through a queue.

A node that cannot be reached has a queue of what it misses, which is replayed before anything else is written there. An order
is taken as long as there is a node that can be reached. With ORDERS_REPLAY=no the application has a fault: it never replays.
"""

import json
import os
import tempfile
import uuid
from pathlib import Path

import pymysql

NODES = {1, 2, 3}
QUEUES = Path(tempfile.gettempdir()) / "orders-queue"


class Unavailable(Exception):
    """No node can be reached: the order was not taken."""


def connect(node):
    def setting(name, default):
        return os.environ.get(f"LOCAL_DB_{name}" if node == 1 else f"LOCAL_DB_{name}_NODE{node}", default)

    return pymysql.connect(
        host=setting("HOST", "127.0.0.1"),
        port=int(setting("PORT", 3305 + node)),
        database=setting("NAME", f"node{node}_db"),
        user=os.environ.get("LOCAL_DB_USER", "user"),
        password=os.environ.get("LOCAL_DB_PASSWORD", "rootpass"),
        autocommit=True,
    )


def stored(node):
    """The orders that the node has."""
    with connect(node) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM orders")
        return {row[0] for row in cursor.fetchall()}


def write(node, orders):
    with connect(node) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS orders (id CHAR(36) PRIMARY KEY, item VARCHAR(100))")
        cursor.executemany("INSERT IGNORE INTO orders VALUES (%s, %s)", orders)


def queue(node):
    return QUEUES / f"node{node}.json"


def missed(node):
    """What the node has missed so far."""
    return json.loads(queue(node).read_text()) if queue(node).exists() else []


def replay(node):
    if missed(node) and os.environ.get("ORDERS_REPLAY") != "no":
        write(node, missed(node))
        queue(node).unlink()


def place(item):
    """Takes an order, and returns its id."""
    order = [str(uuid.uuid4()), item]
    away = set()
    for node in sorted(NODES):
        try:
            replay(node)
            write(node, [order])
        except pymysql.err.OperationalError:
            away.add(node)
    if away == NODES:
        raise Unavailable
    QUEUES.mkdir(exist_ok=True)
    for node in away:
        queue(node).write_text(json.dumps([*missed(node), order]))
    return order[0]
