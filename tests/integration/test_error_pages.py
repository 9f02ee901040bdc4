"""Error pages of the operator's own, through the whole gateway, over both roads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.logger import globalLogPublisher
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from tests.integration.harness import GatewayTestCase, Running, both_roads, model_for
from tests.integration.messages import Answers, Message, read_response

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class _Moved(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        request.redirect(b"/page.html")
        return b""


class _Silent(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> int:
        return 1  # NOT_DONE_YET


class ErrorPageTests(GatewayTestCase):
    """Pages from files and from URLs."""

    def file(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text)
        return os.fspath(path)

    async def site(self) -> str:
        """A web server with pages of every kind; its URL."""
        from twisted.internet import reactor

        root = Resource()
        root.putChild(b"page.html", Data(b"<p>fetched</p>", "text/html; charset=utf-8"))
        for name, kind in (
            (b"plain", "text/plain; charset=utf-8"), (b"blob", "application/octet-stream"), (b"untold", ""),
            (b"json", "application/json"), (b"image", "image/png"), (b"sheet", "text/plainer"),
        ):  # fmt: skip
            root.putChild(name, Data(b"<p>of a kind</p>", kind))
        root.putChild(b"empty", Data(b" ", "text/html"))
        root.putChild(b"big", Data(b"x" * ((1 << 20) + 1), "text/html"))
        root.putChild(b"moved", _Moved())
        root.putChild(b"silent", _Silent())
        site = Site(root)
        site.noisy = False
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site)
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}"

    async def ask(self, gateway: Running, request: bytes = GET, method: str = "GET", **options: Any) -> Message:
        client = await self.client(gateway, **options)
        client.write(request)
        return await read_response(client, method)

    async def test_file(self) -> None:
        """The gateway's page for its status, the operator's body; the backend's own errors go through."""
        backend = await self.backend(Answers(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9\r\n\r\nbackend's"))
        page = self.file("<p>sorry</p>")
        gateway = await self.gateway(model_for(backend, error_pages=[{"status": "502", "file": page}]))
        self.assertEqual((await self.ask(gateway)).body, b"backend's")
        await backend.refuse()
        backend.cut()
        response = await self.ask(gateway)
        self.assertEqual((response.status, response.body), (502, b"<p>sorry</p>"))
        self.assertEqual(response.get("Content-Type"), "text/html")
        self.assertEqual(response.get("Content-Length"), "12")
        response = await self.ask(gateway, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD")
        self.assertEqual((response.status, response.body, response.get("Content-Length")), (502, b"", "12"))

    async def test_of_the_listener_first(self) -> None:
        """Also for a request that cannot be read; statuses without a page get the gateway's own."""
        gateway = await self.gateway(
            model_for(
                listeners=[
                    {
                        "name": "web", "address": "127.0.0.1", "port": 0,
                        "error_pages": [{"status": "502", "file": self.file("listener 502")}],
                    }
                ],
                error_pages=[
                    {"status": "502", "file": self.file("all 502")}, {"status": "400", "file": self.file("all 400")}
                ],
            )
        )  # fmt: skip
        self.assertEqual((await self.ask(gateway)).body, b"listener 502")
        response = await self.ask(gateway, b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual((response.status, response.body), (400, b"all 400"))
        response = await self.ask(gateway, b"GET / HTTP/2.5\r\nHost: a\r\n\r\n")
        self.assertIn(b"<center>gateway</center>", response.body)

    async def test_refusals(self) -> None:
        """What the gateway's own middleware refuses gets the page too, with the fields of the refusal."""
        backend = await self.backend(Answers())
        denied = {"strategy": "address", "options": {"deny": ["127.0.0.0/8"]}}
        preflight = {"strategy": "cors", "options": {"origins": ["https://a.test"]}}
        for middleware, request, field in (
            (denied, GET, None),
            (preflight, b"OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://b.test\r\n"
                        b"Access-Control-Request-Method: GET\r\n\r\n", "Origin"),
        ):  # fmt: skip
            pages = [{"status": "403", "file": self.file("<p>not you</p>")}]
            gateway = await self.gateway(model_for(backend, error_pages=pages, middleware=[middleware]))
            response = await self.ask(gateway, request, request.split()[0].decode())
            self.assertEqual((response.status, response.body), (403, b"<p>not you</p>"))
            self.assertEqual((response.get("Vary"), response.get("Content-Type")), (field, "text/html"))

    async def test_not_found(self) -> None:
        """Nobody answers for the host, so the page is that of all listeners, not that of another site on the port."""
        gateway = await self.gateway(
            model_for(
                listeners=[
                    {
                        "name": "web", "address": "127.0.0.1", "port": 0, "host_names": ["shop.test"],
                        "error_pages": [{"status": "404", "file": self.file("shop 404")}],
                    },
                ],
                error_pages=[{"status": "404", "file": self.file("all 404")}],
            )
        )  # fmt: skip
        response = await self.ask(gateway, b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n")
        # The port has one listener only, so it is that one's page.
        self.assertEqual((response.status, response.body), (404, b"shop 404"))

    async def fetched(self, gateway: Running) -> None:
        """Wait until nothing is being fetched any more."""
        fetching = gateway.service.error_pages.fetching
        await gateway.until(lambda: all(one.called for one in fetching), "pages to be fetched")

    async def test_url(self) -> None:
        """Fetched once at the start."""
        base = await self.site()
        pages = [{"status": "502", "url": f"{base}/page.html"}, {"status": "400", "url": f"{base}/page.html"}]
        gateway = await self.gateway(model_for(error_pages=pages))
        await self.fetched(gateway)
        for request, status in ((GET, 502), (b"nonsense\r\n\r\n", 400)):
            response = await self.ask(gateway, request)
            self.assertEqual((response.status, response.body), (status, b"<p>fetched</p>"))
            self.assertEqual(response.get("Content-Type"), "text/html; charset=utf-8")

    async def test_url_of_a_file(self) -> None:
        """Who keeps files may not know what is in them; it is HTML."""
        base = await self.site()
        for name, kind in (("plain", "text/html; charset=utf-8"), ("blob", "text/html"), ("untold", "text/html")):
            gateway = await self.gateway(model_for(error_pages=[{"status": "502", "url": f"{base}/{name}"}]))
            await self.fetched(gateway)
            response = await self.ask(gateway)
            self.assertEqual((b"<p>of a kind</p>", kind), (response.body, response.get("Content-Type")))

    async def test_not_fetched(self) -> None:
        """The log names URL, status and reason; the gateway's own page is sent."""
        base = await self.site()
        warned: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(warned.append)
        self.addCleanup(globalLogPublisher.removeObserver, warned.append)
        for name, reason in (
            ("json", "it is 'application/json', not text/html"),
            ("image", "not text/html"),
            ("sheet", "not text/html"),
            ("empty", "it is empty"),
            ("big", "more than 1048576 bytes"),
            ("moved", "status 302, it has moved to"),
            ("missing", "status 404"),
        ):
            gateway = await self.gateway(model_for(error_pages=[{"status": "502", "url": f"{base}/{name}"}]))
            await self.fetched(gateway)
            (event,) = [event for event in warned if event.get("url") == f"{base}/{name}"]
            self.assertIn(reason, event["reason"])
            self.assertEqual(event["statuses"], "502 of the gateway")
            self.assertIn(b"<center>gateway</center>", (await self.ask(gateway)).body)
        gateway = await self.gateway(model_for(error_pages=[{"status": "502", "url": "http://127.0.0.1:1/x"}]))
        await self.fetched(gateway)
        self.assertTrue(any(event.get("url") == "http://127.0.0.1:1/x" for event in warned))

    async def test_stopped_while_fetching(self) -> None:
        """Nothing is left behind by a server that does not answer."""
        base = await self.site()
        gateway = await self.gateway(model_for(error_pages=[{"status": "502", "url": f"{base}/silent"}]))
        (fetching,) = gateway.service.error_pages.fetching
        self.assertFalse(fetching.called)
        await gateway.service.stopService()
        self.assertTrue(fetching.called)


both_roads(globals())
