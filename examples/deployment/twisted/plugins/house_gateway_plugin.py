"""Makes ``twistd house-gateway`` known. There must be no ``__init__.py`` here, nor in the directory above."""

from twisted.application.service import ServiceMaker

house = ServiceMaker("house-gateway", "house_gateway", "The gateway as this house wants it", "house-gateway")
