"""bailey-fs as a program: its options, how it starts in the background, how it ends."""
import os
import signal
import subprocess
import time

import harness
import syscalls
from harness import FsTest, SERVER, read, write


class Standalone(FsTest):
    def fill(self):
        write(self.lower("top", 0), "0")
        write(self.lower("f", 0), "first")
        write(self.lower("f", 1), "second")

    def mount(self, **how):
        """Each test mounts for itself."""

    def command(self, *more):
        return [SERVER, "--lower", self.lowers[0], "--lower", self.lowers[1], "--upper",
                self.upper, "--work", self.work, *more, self.root]

    def servers(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if os.fsencode(self.root) in file.read():
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def wait_until_gone(self):
        deadline = time.monotonic() + 20
        while self.servers():
            self.assertLess(time.monotonic(), deadline, "the server outlives its mount")
            time.sleep(0.005)

    def test_in_the_background(self):
        subprocess.run(self.command(), check=True, stdin=subprocess.DEVNULL, timeout=30)
        self.assertTrue(os.path.ismount(self.root))
        self.assertEqual(read(self.path("f")), b"first")
        self.assertEqual(len(self.servers()), 1)
        os.chdir("/")
        syscalls.umount(self.root)
        self.wait_until_gone()

    def test_unmounted_it_can_be_mounted_again_at_once(self):
        for _ in range(30):
            subprocess.run(self.command(), check=True, stdin=subprocess.DEVNULL, timeout=30)
            write(self.path("new"), "x")
            syscalls.umount(self.root)
        self.wait_until_gone()

    def test_a_second_server_for_an_upper_is_refused(self):
        subprocess.run(self.command(), check=True, stdin=subprocess.DEVNULL, timeout=30)
        second = f"{self.home}/second"
        os.mkdir(second)
        done = subprocess.run([*self.command()[:-1], second], stdin=subprocess.DEVNULL, text=True,
                              stderr=subprocess.PIPE, timeout=30, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("another bailey-fs", done.stderr)
        self.assertFalse(os.path.ismount(second))
        syscalls.umount(self.root)
        self.wait_until_gone()

    def test_a_lazy_unmount_ends_it_with_the_last_file(self):
        subprocess.run(self.command(), check=True, stdin=subprocess.DEVNULL, timeout=30)
        file = os.open(self.path("f"), os.O_RDWR)
        syscalls.umount(self.root, syscalls.MNT_DETACH)
        os.write(file, b"FIRST")
        self.assertEqual(os.pread(file, 9, 0), b"FIRST")
        os.close(file)
        self.wait_until_gone()

    def test_term_ends_it_and_its_mount(self):
        server = subprocess.Popen(self.command("--foreground"), stdin=subprocess.DEVNULL)
        while not os.path.ismount(self.root):
            self.assertIsNone(server.poll())
            time.sleep(0.001)
        self.assertEqual(read(self.path("f")), b"first")
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=20)
        self.assertFalse(os.path.ismount(self.root))

    def refused(self, *command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=30, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertGreater(len(done.stdout), 10)
        self.assertFalse(os.path.ismount(self.root))
        return done.stdout.decode()

    def test_bad_arguments_say_why(self):
        said = self.refused(SERVER, "--lower", f"{self.home}/none", "--upper", self.upper,
                            "--work", self.work, self.root)
        self.assertIn(f"{self.home}/none", said)
        self.refused(SERVER, self.root)
        self.refused(SERVER, "--lower", self.lowers[0], "--upper", self.upper, "--work",
                     self.work)
        self.refused(*self.command("--no-such-option"))
        said = self.refused(*self.command()[:-1], f"{self.home}/no-mountpoint")
        self.assertIn("no-mountpoint", said)

    def test_an_upper_of_another_file_system_than_work_is_refused(self):
        syscalls.mount("tmpfs", self.work, "tmpfs")
        self.addCleanup(syscalls.umount, self.work)
        self.refused(*self.command())

    def test_leftovers_in_work_do_not_matter(self):
        write(f"{self.work}/work/#12", "of a server that was killed")
        write(f"{self.work}/junk", "x")
        subprocess.run(self.command(), check=True, stdin=subprocess.DEVNULL, timeout=30)
        with open(self.path("f"), "ab") as file:
            file.write(b"+")
        self.assertEqual(read(self.path("f")), b"first+")
        syscalls.umount(self.root)
        self.wait_until_gone()

    def test_a_killed_server_leaves_a_tree_that_mounts_again(self):
        server = subprocess.Popen(self.command("--foreground"), stdin=subprocess.DEVNULL)
        while not os.path.ismount(self.root):
            time.sleep(0.001)
        write(self.path("new"), "x")
        server.kill()
        server.wait()
        syscalls.umount(self.root, syscalls.MNT_DETACH)
        subprocess.run(self.command(), check=True, stdin=subprocess.DEVNULL, timeout=30)
        self.assertEqual(read(self.path("new")), b"x")
        syscalls.umount(self.root)
        self.wait_until_gone()


if __name__ == "__main__":
    harness.main()
