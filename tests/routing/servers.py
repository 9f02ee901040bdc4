"""How servers read the path of a request, each as its documentation and sources say. Independent of the gateway.

Each is a function of the path as it was sent, and gives the path that an application, or the file system, is asked for.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote

__all__ = ["SERVERS"]


def _dots(path: str, encoded: bool = False) -> str:
    """Without dot segments (RFC 3986 §5.2.4); with ``encoded``, %2e is a dot (URL Standard)."""
    made: list[str] = []
    word = ""
    for part in path.split("/")[1:]:
        word = part.lower().replace("%2e", ".") if encoded else part
        if word == "..":
            del made[-1:]
        elif word != ".":
            made.append(part)
    return "/" + "/".join([*made, ""] if word in (".", "..") else made)


def wsgi(path: str) -> str:
    """PATH_INFO of Flask, Django and others, ``path`` of ASGI: decoded, and that is all (PEP 3333)."""
    return unquote(path)


def nginx(path: str) -> str:
    """ngx_http_parse_complex_uri: decodes, with ``merge_slashes`` merges, and resolves, in one go."""
    return _dots(re.sub("//+", "/", unquote(path)))


def nginx_unmerged(path: str) -> str:
    """The same with ``merge_slashes off``."""
    return _dots(unquote(path))


def whatwg(path: str) -> str:
    """``new URL(request.url, base).pathname`` in Node.js (URL Standard, path state), compared as it is."""
    path = path.replace("\\", "/")
    return _dots(path, encoded=True)


def whatwg_decoded(path: str) -> str:
    """The same, decoded by the application."""
    return unquote(whatwg(path))


def whatwg_joined(path: str) -> str:
    """The same, made a file name: ``path.join(root, decodeURIComponent(pathname))``."""
    return posixpath.normpath(whatwg_decoded(path)).replace("//", "/")


def tomcat(path: str) -> str:
    """CoyoteAdapter: parameters of segments are cut, then decoded (``encodedSolidusHandling="decode"``), normalized."""
    path = unquote(re.sub(";[^/]*", "", path))
    return _dots(re.sub("//+", "/", path))


def tomcat_backslash(path: str) -> str:
    """The same with ALLOW_BACKSLASH."""
    path = unquote(re.sub(";[^/]*", "", path)).replace("\\", "/")
    return _dots(re.sub("//+", "/", path))


def spring(path: str) -> str:
    """UrlPathHelper and PathPattern: parameters are cut, then decoded; dot segments stay."""
    return re.sub("//+", "/", unquote(re.sub(";[^/]*", "", path)))


def jetty(path: str) -> str:
    """URIUtil: parameters cut, dot segments removed with %2e for a dot, then decoded."""
    path = re.sub(";[^/]*", "", path)
    return unquote(_dots(path, encoded=True))


def old_jetty(path: str) -> str:
    """HttpURI of Jetty up to 9: the parameters begin at the first semicolon and go on to the end."""
    return _dots(unquote(path.partition(";")[0]))


def iis(path: str) -> str:
    """http.sys: decodes, takes backslashes for slashes, resolves."""
    return _dots(unquote(path).replace("\\", "/"))


def kestrel(path: str) -> str:
    """ASP.NET Core: decodes all but %2F, then removes dot segments (PathNormalizer)."""
    kept = re.sub("%2f", "%252F", path, flags=re.IGNORECASE)
    return _dots(unquote(kept))


def apache(path: str) -> str:
    """ap_normalize_path with AllowEncodedSlashes NoDecode: as above, and merges before it removes."""
    kept = re.sub("%2f", "%252F", path, flags=re.IGNORECASE)
    return _dots(re.sub("//+", "/", unquote(kept)))


def lighttpd(path: str) -> str:
    """``url-path-backslash-trans`` and ``url-path-dotseg-remove`` without ``url-path-2f-decode``."""
    kept = re.sub("%2f", "%252F", path, flags=re.IGNORECASE)
    return _dots(unquote(kept).replace("\\", "/"))


def envoy(path: str) -> str:
    """``normalize_path`` and then ``merge_slashes``, with escaped slashes unescaped and forwarded to a WSGI server."""
    path = re.sub("%5c", "\\\\", re.sub("%2f", "/", path, flags=re.IGNORECASE), flags=re.IGNORECASE)
    return unquote(re.sub("//+", "/", whatwg(path)))


def literal_dots(path: str) -> str:
    """Removes dots that are written as dots, and decodes afterwards (RFC 3986 §5.2.4 without §6.2.2)."""
    return unquote(_dots(path))


def nginx_before_tomcat(path: str) -> str:
    """``proxy_pass http://tomcat/;``, which passes on the path that nginx has made."""
    return tomcat(nginx(path).replace("%", "%25"))


def nginx_before_iis(path: str) -> str:
    """The same in front of IIS."""
    return iis(nginx(path).replace("%", "%25"))


def tomcat_before_wsgi(path: str) -> str:
    """A servlet that asks another server for its getServletPath."""
    return nginx_unmerged(tomcat(path).replace("%", "%25"))


SERVERS: Mapping[str, Callable[[str], str]] = {
    made.__name__: made
    for made in (
        wsgi, nginx, nginx_unmerged, whatwg, whatwg_decoded, whatwg_joined, tomcat, tomcat_backslash, spring, jetty,
        old_jetty, iis, kestrel, apache, lighttpd, envoy, literal_dots, nginx_before_tomcat, nginx_before_iis,
        tomcat_before_wsgi,
    )
}  # fmt: skip
"""By name."""
