"""Lets ``.venv/bin/trial tests`` find the tests of the checkout it is started in.

The script that pip makes for trial has its own directory on the path and not the current one, and our tests are not
installed: without this only ``python -m twisted.trial tests`` would find them.  Before trial looks for tests it asks
every plugin that is a reporter for its name, so a reporter is what this has to be.  The current directory goes to
the end of the path, so that the gateway which is tested is the one that is installed.  (In an environment where trial
was used before the gateway came, trial may find the reporter it wants first; there, `python -m twisted.trial` it is.)
"""

import os
import sys

from twisted.plugin import IPlugin
from twisted.trial.itrial import IReporter
from zope.interface import directlyProvides

if os.path.basename(sys.argv[0]) == "trial" and os.getcwd() not in sys.path:
    sys.path.append(os.getcwd())


class _FromHere:
    """trial's default reporter under another name; the attributes are those that trial asks a plugin for."""

    name = "Tests of the current directory"
    description = "verbose; its plugin lets `trial tests` find the tests of a checkout"
    module = "twisted.trial.reporter"
    klass = "TreeReporter"
    longOpt = "from-here"
    shortOpt = None


from_here = _FromHere()
directlyProvides(from_here, IPlugin, IReporter)
