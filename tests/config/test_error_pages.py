"""Error pages in both spellings, and the overrides for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.config import model
from gateway.config.writer import write_compact
from gateway.lifecycle.preflight import checks
from tests.config.arm import gateway
from tests.config.support import ConfigurationTestCase

URL = "https://site.test/sorry.html"
YAML = """
listeners: [{name: web, port: 8080}]
pools: [{name: chat, backends: [127.0.0.1:9001]}]
rules: [{listener: web, pool: chat}]
errorPages:
"""


def document() -> dict[str, Any]:
    made = gateway("literal")
    made["properties"]["customErrorConfigurations"] = [{"statusCode": "HttpStatus502", "customErrorPageUrl": URL}]
    made["properties"]["httpListeners"][0]["properties"]["customErrorConfigurations"] = [
        {"StatusCode": "httpstatus403", "CustomErrorPageUrl": URL}
    ]
    return made


class ErrorPageTests(ConfigurationTestCase):
    """`model.ErrorPage`."""

    def test_azure(self) -> None:
        loaded = self.load(document())
        self.assertEqual(loaded.error_pages, (model.ErrorPage(status="502", url=URL),))
        self.assertEqual(loaded.listeners[0].error_pages, (model.ErrorPage(status="403", url=URL),))
        self.assertEqual(self.load(write_compact(loaded)).error_pages, loaded.error_pages)
        self.assertFalse(any("rror" in sentence for sentence in loaded.not_honoured))

    def test_compact(self) -> None:
        path = Path(self.write(YAML + "  - {status: 502, file: sorry.html}\n"))
        (path.parent / "sorry.html").write_text("sorry")
        from gateway.config import load

        self.assertEqual(load(path, checks=checks()).error_pages[0].file, str(path.parent.absolute() / "sorry.html"))
        (path.parent / "sorry.html").write_text("")
        self.assertIn("errorPages[0].file: cannot use", str(self.refusal(path)))
        self.assertIn("it is empty", str(self.refusal(path)))
        (path.parent / "sorry.html").write_bytes(b"x" * ((1 << 20) + 1))
        self.assertIn("more than 1048576 bytes", str(self.refusal(path)))

    def refusal(self, path: Path) -> Exception:
        from gateway.config import load
        from gateway.errors import ConfigurationError

        with self.assertRaises(ConfigurationError) as caught:
            load(path, checks=checks())
        return caught.exception

    def test_override(self) -> None:
        """A page that cannot be fetched where the gateway runs."""
        overrides = Path(self.write(f"errorPages: {{'{URL}': sorry.html}}"))
        (overrides.parent / "sorry.html").write_text("sorry")
        loaded = self.load(document(), overrides=overrides)
        expected = str(overrides.parent.absolute() / "sorry.html")
        for page in (loaded.error_pages[0], loaded.listeners[0].error_pages[0]):
            self.assertEqual((page.url, page.file), (None, expected))
        overrides.write_text("error_pages: {'https://other.test/': sorry.html}")
        self.load(document(), overrides=overrides)
        self.warned("the override errorPages: 'https://other.test/' matched nothing")
        overrides.write_text(f"errorPages: {{'{URL}': missing.html}}")
        self.assertEqual(
            len([item for item in self.refused(document(), overrides=overrides) if "there is no file" in item]), 2
        )
