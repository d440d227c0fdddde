"""bailey-template-builder as a process, on a state directory of the test's own."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ.get("BAILEY_BIN", "build/dev/bin")).resolve()


class TemplateTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="bailey-templates-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.state = self.folder / "state"

    def build(self, **request):
        with tempfile.TemporaryFile() as body:
            body.write(json.dumps(request).encode())
            body.seek(0)
            done = subprocess.run(
                [BIN / "bailey-template-builder", "--state", self.state, "--request-fd", str(body.fileno())],
                pass_fds=[body.fileno()], capture_output=True, text=True, timeout=280,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertTrue(lines, done)
        for line in lines[:-1]:
            self.assertIn("progress", line)
        return lines[-1]

    def built(self, **request):
        answer = self.build(**request)
        self.assertIn("items", answer, answer)
        return answer["items"][0], self.state / "templates" / request["name"] / "1/root"

    def assertNothingLeft(self):
        templates = self.state / "templates"
        self.assertEqual(list(templates.iterdir()) if templates.exists() else [], [])
        self.assertNotIn(str(self.folder), pathlib.Path("/proc/self/mountinfo").read_text())
