"""The script's way to fail nodes, for scripts/bench.py: one node after another, and one session after another."""

import sys

import mysql.connector


def connect(port):
    return mysql.connector.connect(host="127.0.0.1", port=port, user="tester", password="testpass")


for port in sys.argv[1:]:
    connection = connect(port)
    cursor = connection.cursor()
    cursor.execute("ALTER USER 'user'@'%' ACCOUNT LOCK")
    cursor.execute("FLUSH PRIVILEGES")
    cursor.execute("SELECT id FROM information_schema.processlist WHERE user = 'user'")
    for (session,) in cursor.fetchall():
        cursor.execute(f"KILL {session}")
    connection.close()
input("Start Server Again (Grant Privileges) (Y/N): ")
for port in sys.argv[1:]:
    connection = connect(port)
    cursor = connection.cursor()
    cursor.execute("ALTER USER 'user'@'%' ACCOUNT UNLOCK")
    cursor.execute("FLUSH PRIVILEGES")
    connection.close()
