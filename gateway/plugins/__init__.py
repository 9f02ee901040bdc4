"""Drop-in strategies of your own deployment.

A file in this directory, or in a ``gateway/plugins`` directory (without ``__init__.py``) anywhere on ``sys.path``, may
hold objects that provide both `gateway.interfaces.IStrategyFactory` and ``twisted.plugin.IPlugin``.  Where an entry
point names its group in its metadata, a drop-in says it in an attribute::

    @implementer(IPlugin, IStrategyFactory)
    class Factory:
        group = "gateway.selectors"
        name = "first"
        options = None

        def build(self, options, services):
            return First()

    factory = Factory()

Packages that are installed use entry points instead: those are found in every kind of install.
"""

from __future__ import annotations

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
