"""`gateway.config.checks.rewrites`."""

from __future__ import annotations

from tests.config.support import ConfigurationTestCase
from tests.config.test_rewrites import YAML


class CheckTests(ConfigurationTestCase):
    """What is refused, and what is only said."""

    def errors(self, rule: str) -> list[str]:
        return self.refused(f"{YAML}      - {rule}\n")

    def test_refused(self) -> None:
        for rule, words in (
            ("conditions: {variable: var_host, pattern: '(?=x)'}", "conditions.pattern: found '(?=x)': look-ahead"),
            ("conditions: {variable: var_host, pattern: '('}", "missing )"),
            ("requestHeaders: {name: Host, value: ''}", "requestHeaders.value: 'Host' cannot be deleted"),
            ("requestHeaders: {name: Connection, value: x}", "requestHeaders.name: 'Connection' cannot be rewritten"),
            ("responseHeaders: {name: upgrade, value: x}", "'upgrade' cannot be rewritten"),
            ("requestHeaders: {name: X-Original-Host, value: x}", "'X-Original-Host' cannot be rewritten"),
            ("responseHeaders: {name: Content-Length, value: 0}", "'Content-Length' cannot be rewritten"),
            ("responseHeaders: {name: Transfer-Encoding}", "'Transfer-Encoding' cannot be rewritten"),
            ("responseHeaders: {name: Sec-WebSocket-Extensions}", "cannot be rewritten"),
            ("requestHeaders: {name: X_Y, value: x}", "the name of a field is letters, digits and hyphens"),
            ("responseHeaders: {name: 'X: Y', value: x}", "the name of a field is a token"),
            ('requestHeaders: {name: X, value: "a\\r\\nB: c"}', "a line break or another control character"),
            ('url: {path: "/a\\nb"}', "url.path: a line break"),
            ("requestHeaders: {name: Set-Cookie, value: x, matcher: {pattern: x}}", "only for Set-Cookie of responses"),
            ("responseHeaders: {name: X, value: x, matcher: {pattern: x}}", "only for Set-Cookie of responses"),
            ("responseHeaders: {name: Set-Cookie, matcher: {pattern: '('}}", "matcher.pattern: found '(': missing )"),
            (
                "{conditions: {variable: var_host, pattern: '(a)'}, url: {path: '/{var_host_2}'}}",
                "{var_host_2}: the pattern for 'var_host' has 1 groups, not 2",
            ),
        ):
            found = self.errors(rule)
            self.assertEqual(len(found), 1, (rule, found))
            self.assertIn(words, found[0])

    def test_said(self) -> None:
        """Legal, but not what somebody wanted."""
        for rule, words in (
            ("requestHeaders: {name: X, value: '{var_remote-addr}'}", "{var_remote-addr}, which is no server variable"),
            ("requestHeaders: {name: X, value: '{var_client_up}'}", "did you mean 'var_client_ip'?"),
            ("requestHeaders: {name: X, value: '{var_uri_path_1}'}", "no condition of this rule is on 'var_uri_path'"),
            (
                "{conditions: {variable: http_req_User-Agent, pattern: (a)},"
                " requestHeaders: {name: X, value: '{http_req_user-agent_1}'}}",
                "the condition is on 'http_req_User-Agent', in this case",
            ),
            ("requestHeaders: {name: X, value: var_client_ip}", "write {var_client_ip} for its value"),
            ("requestHeaders: {name: X, value: '{http_resp_Y}'}", "{http_resp_Y} is empty here"),
            ("{conditions: {variable: xx, pattern: y}, url: {path: /}}", "the condition never holds"),
            ("{conditions: {variable: var_http_status, pattern: y}, url: {path: /}}", "is about the response"),
            ("url: {path: '/x?y=1'}", "a path has no '?'"),
            ("url: {reroute: false}", "gives neither a path nor a query"),
            ("url: {path: /x, reroute: true}", "'reroute' has nothing to look at"),
            ("name: nothing", "has no actions and changes nothing"),
        ):
            self.load(f"{YAML}      - {rule}\n")
            self.warned(words)

    def test_where_it_has_no_effect(self) -> None:
        self.load(YAML.replace("pool: chat, rewrite", "pathMap: map, rewrite") + "      - {url: {path: /x}}\n"
                  "pathMaps: [{name: map, defaultPool: chat}]\n")  # fmt: skip
        self.warned("has a path map, whose rules name their own rewrite sets")
        self.load(YAML.replace("pool: chat, rewrite", "redirect: away, rewrite") + "      - {url: {path: /x}}\n"
                  "redirects: [{name: away, targetUrl: 'https://a.test/'}]\n")  # fmt: skip
        self.warned("redirects are not rewritten")

    def test_circles(self) -> None:
        """Azure's rule for path maps: not every rule may send every request round again."""
        text = YAML.replace("pool: chat, rewrite: tidy", "pathMap: map")
        text += "      - {url: {path: /x, reroute: true}}\n"
        text += "pathMaps: [{name: map, defaultPool: chat, defaultRewrite: tidy}]\n"
        self.assertIn("round in circles", self.refused_once(text))
        self.load(text.replace("{url", "{conditions: {variable: var_host, pattern: x}, url"))

    def test_unused(self) -> None:
        self.load(YAML.replace(", rewrite: tidy", "") + "      - {url: {path: /x}}\n")
        self.warned("rewrite set 'tidy' is not used by anything")

    def test_many(self) -> None:
        self.load(YAML + "      - {url: {path: /x}}\n" * 41)
        self.warned("takes at most 40 rules in a rewrite set")
