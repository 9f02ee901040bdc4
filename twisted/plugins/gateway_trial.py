"""Lets ``.venv/bin/trial tests`` find the tests of the checkout it is started in.

The script that pip makes for trial has its own directory on the path and not the current one, and the tests are not
installed: only ``python -m twisted.trial tests`` would find them.  trial asks every plugin of this directory that is a
reporter for its name before it looks for tests, so a reporter is what this has to be.  The current directory goes
to the end of the path: what is tested is the gateway that is installed.
"""

import os
import sys

from zope.interface import implementer

from twisted.plugin import IPlugin
from twisted.trial.itrial import IReporter

if os.path.basename(sys.argv[0]) == "trial" and os.getcwd() not in sys.path:
    sys.path.append(os.getcwd())


@implementer(IPlugin, IReporter)
class _FromHere:
    """trial's default reporter under another name: what the interface of a plugin asks for."""

    name = "Tests of the current directory"
    description = "as verbose; makes `trial tests` find the tests of a checkout"
    module = "twisted.trial.reporter"
    klass = "TreeReporter"
    longOpt = "from-here"
    shortOpt = None


from_here = _FromHere()
