"""Clients of databases in a tenant that remember, outside it, which commits were acknowledged.

    writer = SqliteWriter(tenant)
    writer.start(); …; writer.finish()       # after the tenant was killed
    missing = writer.missing()               # after it was started again
"""
import socket
import struct
import subprocess
import threading

from harness import BIN, Failed


class PostgresConnection:
    """As much of PostgreSQL's protocol, version 3, as one user with a password needs."""

    def __init__(self, address, user, password, database):
        self.socket = socket.create_connection((address, 5432), timeout=30)
        self.stream = self.socket.makefile("rb")
        words = b"".join(word.encode() + b"\0" for word in ("user", user, "database", database))
        self._send(b"", struct.pack("!I", 3 << 16) + words + b"\0")
        self._answer(password)

    def _send(self, kind, body):
        self.socket.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def _read(self, size):
        data = self.stream.read(size)
        if len(data) != size:
            raise ConnectionError("the server has closed the connection")
        return data

    def _answer(self, password=""):
        """The rows up to ReadyForQuery."""
        rows = []
        while True:
            kind, length = struct.unpack("!cI", self._read(5))
            body = self._read(length - 4)
            if kind == b"R" and struct.unpack("!I", body[:4])[0] == 3:  # a password, as it is
                self._send(b"p", password.encode() + b"\0")
            elif kind == b"E":
                raise ConnectionError(body.replace(b"\0", b" ").decode(errors="replace"))
            elif kind == b"D":
                rows.append(body[6:].decode())  # one column: number of columns, length, text
            elif kind == b"Z":
                return rows

    def query(self, text):
        self._send(b"Q", text.encode() + b"\0")
        return self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()


class Writer(threading.Thread):
    """Commits 1, 2, 3 … one by one, until the database is gone."""
    table = "acknowledged"

    def __init__(self, tenant, first=1):
        super().__init__(daemon=True)
        self.tenant, self.next = tenant, first
        self.acknowledged = []
        self.why = ""

    def run(self):
        try:
            for number in self.committed():
                self.acknowledged.append(number)
        except (OSError, ValueError) as error:
            self.why = str(error)

    def finish(self):
        self.join(60)
        if self.is_alive():
            raise Failed(f"{type(self).__name__} goes on although its tenant was killed")

    def missing(self):
        """Acknowledged commits that are not there."""
        return sorted(set(self.acknowledged) - set(self.present()))


class PostgresWriter(Writer):
    """Over TCP, from the host, through the port that the tenant publishes."""
    password = "only-for-this-test"

    def query(self, text):
        with PostgresConnection(self.tenant.ip, "writer", self.password, "writer") as connection:
            return connection.query(text)

    @classmethod
    def prepare(cls, tenant):
        tenant.ok(f"""cd /etc/postgresql/15/main
            echo "listen_addresses = '*'" >conf.d/all.conf
            echo 'host writer writer 0.0.0.0/0 password' >>pg_hba.conf
            service postgresql restart; cd /
            su postgres -c psql <<<"create role writer login password '{cls.password}'"
            su postgres -c 'createdb -O writer writer'""")
        cls(tenant).query(f"create table {cls.table} (id int primary key, filler text)")

    def committed(self):
        with PostgresConnection(self.tenant.ip, "writer", self.password, "writer") as connection:
            while True:
                connection.query(f"insert into {self.table} "
                                 f"values ({self.next}, repeat('x', {self.next} % 2000))")
                yield self.next
                self.next += 1

    def present(self):
        return map(int, self.query(f"select id from {self.table}"))

    def check(self):
        """Every table and index, by amcheck; raises if something is wrong."""
        self.tenant.ok("cd /; su postgres -c '/usr/lib/postgresql/15/bin/pg_amcheck "
                       "--install-missing --heapallindexed --all'")


class InsideWriter(Writer):
    """A program inside that prints each number once it is committed."""

    def committed(self):
        argv = [str(BIN / "bailey"), "exec", self.tenant.name, "--", *self.command()]
        self.process = subprocess.Popen(argv, env=self.tenant.bailey.env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        with self.process:
            yield from self.numbers()

    def numbers(self):
        for line in self.process.stdout:
            self.next = int(line) + 1
            yield int(line)


class SqliteWriter(InsideWriter):
    journal = "delete"

    @property
    def path(self):
        return f"/srv/{self.journal}.db"

    def command(self):
        return ["python3", "-u", "-c", f"""
import itertools, sqlite3
db = sqlite3.connect("{self.path}", isolation_level=None)
db.execute("pragma journal_mode = {self.journal}")
db.execute("pragma synchronous = full")
db.execute("create table if not exists {self.table} (id integer primary key, filler)")
for n in itertools.count({self.next}):
    db.execute("insert into {self.table} values (?, ?)", (n, "x" * (n % 2000)))
    print(n)
"""]

    def _rows(self, query):
        script = (f'import sqlite3; db = sqlite3.connect("{self.path}"); '
                  f'print(*(row[0] for row in db.execute("{query}")), sep="\\n")')
        return self.tenant.ok(f"python3 -c '{script}'").split()

    def present(self):
        return map(int, self._rows(f"select id from {self.table}"))

    def check(self):
        said = self._rows("pragma integrity_check")
        if said != ["ok"]:
            raise Failed(f"{self.path}: {said}")


class SqliteWalWriter(SqliteWriter):
    journal = "wal"


class MariadbWriter(InsideWriter):
    def command(self):
        return ["mysql", "--unbuffered", "-N", "writer"]

    @classmethod
    def prepare(cls, tenant):
        tenant.ok(f"mysql -e 'create database writer; "
                  f"create table writer.{cls.table} (id int primary key, filler text)'")

    def numbers(self):
        while True:
            self.process.stdin.write(f"insert into {self.table} values ({self.next}, "
                                     f"repeat('x', {self.next} % 2000)); select {self.next};\n")
            self.process.stdin.flush()
            yield int(self.process.stdout.readline())  # an empty line is no number: the end
            self.next += 1

    def present(self):
        return map(int, self.tenant.ok(f"mysql -N writer -e 'select id from {self.table}'").split())

    def check(self):
        said = self.tenant.ok("mysqlcheck --check --extended writer").split("\n")
        if any(line and not line.endswith("OK") for line in said):
            raise Failed(str(said))
