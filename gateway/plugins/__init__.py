"""Drop-in strategies of your own deployment.

A file in this directory, or in a ``gateway/plugins`` directory (without ``__init__.py``) anywhere on ``sys.path``, may
hold factories that say what they are for::

    from zope.interface import implementer

    from gateway.interfaces import ISelector
    from gateway.services import Factory


    @implementer(ISelector)
    class First:
        def __init__(self, options, services):
            pass

        def select(self, candidates, head):
            return candidates[0]


    factory = Factory("first", None, First, group="gateway.selectors")

Anything that provides `gateway.interfaces.IStrategyFactory` and ``twisted.plugin.IPlugin`` and has a ``group`` will do.
Packages that are installed use entry points instead: those are found in every kind of install.
"""

from __future__ import annotations

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
