"""A distribution of strategies for the gateway: what it adds is in ``entry_points``, one group for each interface."""

from setuptools import setup

setup(
    name="gateway-tenants",
    version="1.0.0",
    description="Strategies for a gateway whose clients are tenants of one application",
    packages=["gateway_tenants"],
    python_requires=">=3.11",
    install_requires=["gateway"],
    entry_points={
        "gateway.selectors": ["tenant-homes = gateway_tenants.homes:factory"],
        "gateway.filters": ["tenant-quota = gateway_tenants.quota:factory"],
        "gateway.middleware": ["tenant = gateway_tenants.tenant:factory"],
    },
)
