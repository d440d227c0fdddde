"""Real servers for one test: each is started in a namespace or inside a tenant, with a configuration
of its own in a directory of its own, and ends with the test."""
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness import die_with_parent, in_netns, wait_until

POSTGRES = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def certificate(directory, *names):
    """A self-signed certificate for these addresses: (certificate, key)."""
    crt, key = directory / "tls.crt", directory / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-keyout", str(key), "-out", str(crt), "-subj", "/CN=test",
                    "-addext", "subjectAltName=" + ",".join(f"IP:{name}" for name in names)],
                   check=True, capture_output=True)
    return crt, key


class Servers:
    """Starts servers in the network namespace at `path`, and ends them with close()."""

    def __init__(self, path):
        self.path, self._processes = path, []
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="bailey-servers-"))
        self.home.chmod(0o755)

    def directory(self, name):
        made = self.home / name
        made.mkdir(exist_ok=True)
        return made

    def start(self, name, *argv, user=None):
        argv = [*(["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []),
                *map(str, argv)]
        log = open(self.home / f"{name}.log", "ab")
        process = subprocess.Popen(in_netns(self.path, argv), stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, preexec_fn=die_with_parent)
        log.close()
        self._processes.append(process)
        return process

    def listening(self, port, kind="t"):
        """Waits until somebody in the namespace serves `port`."""
        def there():
            table = subprocess.run(in_netns(self.path, ["ss", f"-Hln{kind}"]), capture_output=True,
                                   text=True, check=True).stdout
            return any(line.split()[3].endswith(f":{port}") for line in table.splitlines())
        wait_until(there, f"somebody serves {port}\n{self.logs()}")

    def logs(self):
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}"
                         for path in self.home.glob("*.log"))

    def close(self):
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.home)

    # ---- one function for each program; all listen on every address
    def nginx(self, http, https, *names):
        home = self.directory("nginx")
        www = self.directory("www")
        (www / "page").write_text("a page\n")
        (www / "large").write_bytes(os.urandom(4 << 20))
        crt, key = certificate(home, *names)
        (home / "nginx.conf").write_text(NGINX.format(home=home, www=www, http=http, https=https,
                                                      crt=crt, key=key))
        self.start("nginx", "nginx", "-c", home / "nginx.conf", "-g", "daemon off;")
        self.listening(http)
        self.listening(https)
        return www, crt

    def sshd(self, port):
        """Returns the file of a key that may log in as root, and a known_hosts file."""
        home = self.directory("ssh")
        for name in ("host", "client"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)],
                           check=True)
        os.makedirs("/run/sshd", exist_ok=True)
        (home / "config").write_text(SSHD.format(home=home, port=port))
        self.start("sshd", "/usr/sbin/sshd", "-D", "-e", "-f", home / "config")
        self.listening(port)
        return home / "client"

    def redis(self, port):
        self.start("redis", "redis-server", "--port", port, "--bind", "0.0.0.0", "::",
                   "--protected-mode", "no", "--save", "", "--dir", self.directory("redis"))
        self.listening(port)

    def postgres(self, port):
        home = self.directory("postgres")
        shutil.chown(home, "postgres", "postgres")
        run = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        subprocess.run([*run, POSTGRES / "initdb", "-D", home / "data", "-A", "trust", "-N"],
                       check=True, capture_output=True)
        with open(home / "data/pg_hba.conf", "a") as rules:
            rules.write("host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n")
        self.start("postgres", POSTGRES / "postgres", "-D", home / "data", "-p", port, "-h", "*",
                   "-k", home, "-c", "fsync=off", user="postgres")
        self.listening(port)

    def ftp(self, port):
        home = self.directory("ftp")
        files = self.directory("ftp/files")
        (files / "page").write_bytes(b"by ftp\n" * 10000)
        (home / "config").write_text(VSFTPD.format(home=home, port=port))
        self.start("ftp", "vsftpd", home / "config")
        self.listening(port)

    def dnsmasq(self, *names, resolv=None):
        argv = ["dnsmasq", "--keep-in-foreground", "--no-hosts", "--conf-file=/dev/null",
                "--pid-file=", "--user=root", "--no-resolv", "--bind-dynamic"]
        process = self.start("dnsmasq", *argv, *(f"--host-record={name}" for name in names))
        self.listening(53, "u")
        return process


NGINX = """
pid {home}/pid;
error_log stderr;
user root;
events {{}}
http {{
  access_log {home}/access.log;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  server {{
    listen {http}; listen [::]:{http};
    listen {https} ssl http2; listen [::]:{https} ssl http2;
    ssl_certificate {crt}; ssl_certificate_key {key};
    root {www};
  }}
}}
"""
SSHD = """
Port {port}
HostKey {home}/host
PidFile {home}/pid
AuthorizedKeysFile {home}/client.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
"""
VSFTPD = """
listen=NO
listen_ipv6=YES
listen_port={port}
anonymous_enable=YES
anon_root={home}/files
local_enable=NO
write_enable=NO
xferlog_enable=NO
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
background=NO
secure_chroot_dir={home}
"""
