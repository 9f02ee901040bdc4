"""What the members of an Application Gateway's ``properties`` become, as data.

Keys are lower case.  `Field.kind` says how a value is read: ``value`` as it is, ``text`` with empty text meaning
absent, ``ref`` and ``refs`` as names of objects in another collection, ``object`` and ``objects`` with a table of
`OBJECTS`, ``inline`` the same as if its members were those of the object around it, ``children`` as named objects with
a table of `COLLECTIONS`.  What is in no table is unknown.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "SPELLING",
    "CARDS",
    "COLLECTIONS",
    "GLOBAL",
    "IGNORED",
    "NOT_HONOURED",
    "OBJECTS",
    "TOP_IGNORED",
    "TOP_NOT_HONOURED",
    "TOP_READ",
    "Collection",
    "Field",
]


class Field(NamedTuple):
    """``target``: attribute of the model; ``kind``: how to read it; ``collection``: where a reference points to."""

    target: str
    kind: str = "value"
    collection: str = ""


class Collection(NamedTuple):
    """``target``: attribute of `gateway.config.model.Gateway`; ``fields``: members that are read."""

    target: str
    fields: dict[str, Field]


_MATCHER = {"pattern": Field("pattern"), "ignorecase": Field("ignore_case"), "negate": Field("negate")}
_HEADERS = {
    "headername": Field("name"),
    "headervalue": Field("value"),
    "headervaluematcher": Field("matcher", "object", "matcher"),
}

OBJECTS = {
    "match": {"statuscodes": Field("status_codes"), "body": Field("body", "text")},
    "draining": {"enabled": Field("enabled"), "draintimeoutinsec": Field("drain_timeout_in_sec")},
    "sslpolicy": {
        "policytype": Field("policy_type"),
        "policyname": Field("policy_name", "text"),
        "minprotocolversion": Field("min_protocol_version", "text"),
        "ciphersuites": Field("cipher_suites"),
        "disabledsslprotocols": Field("disabled_ssl_protocols"),
    },
    "clientauthentication": {
        "verifyclientauthmode": Field("verify_client_auth_mode"),
        "verifyclientcertissuerdn": Field("verify_client_cert_issuer_dn"),
        "verifyclientrevocation": Field("verify_client_revocation", "text"),
    },
    "errorpage": {"statuscode": Field("status", "status"), "customerrorpageurl": Field("url", "text")},
    "matcher": _MATCHER,
    "routingcondition": {
        "conditiontype": Field("type"),
        "propertyname": Field("name", "text"),
        "propertyvalues": Field("values"),
        "propertyvaluematcher": Field("matcher", "object", "matcher"),
    },
    "distributiontarget": {
        "weightperserver": Field("weight"),
        "backendaddresspool": Field("pool", "ref", "backendaddresspools"),
    },
    "condition": {"variable": Field("variable"), **_MATCHER},
    "header": _HEADERS,
    "url": {
        "modifiedpath": Field("path"),
        "modifiedquerystring": Field("query"),
        "reroute": Field("reroute"),
    },
    "rewriterule": {
        "name": Field("name"),
        "rulesequence": Field("sequence"),
        "conditions": Field("conditions", "objects", "condition"),
        "actionset": Field("", "inline", "actionset"),
    },
    "actionset": {
        "requestheaderconfigurations": Field("request_headers", "objects", "header"),
        "responseheaderconfigurations": Field("response_headers", "objects", "header"),
        "urlconfiguration": Field("url", "object", "url"),
    },
}
"""Objects inside of others: ``object`` and ``objects`` are read with these tables."""

_CERTIFICATE = {
    "data": Field("data", "text"),
    "password": Field("password", "text"),
    "keyvaultsecretid": Field("key_vault_secret_id", "secret"),
    "certificatefile": Field("certificate_file", "text"),
    "keyfile": Field("key_file", "text"),
}

_SETTINGS = {
    "port": Field("port"),
    "protocol": Field("protocol"),
    "requesttimeout": Field("request_timeout"),
    "websocketidletimeout": Field("web_socket_idle_timeout"),
    "connecttimeout": Field("connect_timeout"),
    "cookiebasedaffinity": Field("cookie_based_affinity", "text"),
    "affinitycookiename": Field("affinity_cookie_name", "text"),
    "probe": Field("probe", "ref", "probes"),
    "hostname": Field("host_name", "text"),
    "pickhostnamefrombackendaddress": Field("pick_host_name_from_backend_address"),
    "path": Field("path", "text"),
    "connectiondraining": Field("connection_draining", "object", "draining"),
    "trustedrootcertificates": Field("trusted_root_certificates", "refs", "trustedrootcertificates"),
    "dedicatedbackendconnection": Field("dedicated_backend_connection"),
    "validatecertchainandexpiry": Field("validate_cert_chain_and_expiry"),
    "validatesni": Field("validate_sni"),
    "sniname": Field("sni_name", "text"),
}

_PROBE = {
    "protocol": Field("protocol"),
    "host": Field("host", "text"),
    "path": Field("path", "text"),
    "port": Field("port"),
    "interval": Field("interval"),
    "timeout": Field("timeout"),
    "unhealthythreshold": Field("unhealthy_threshold"),
    "pickhostnamefrombackendhttpsettings": Field("pick_host_name_from_backend_http_settings"),
    "pickhostnamefrombackendsettings": Field("pick_host_name_from_backend_http_settings"),
    "minservers": Field("min_servers"),
    "enableprobeproxyprotocolheader": Field("enable_probe_proxy_protocol_header"),
    "match": Field("match", "object", "match"),
}

_TARGETS = {
    "backendaddresspool": Field("pool", "ref", "backendaddresspools"),
    "backendhttpsettings": Field("settings", "ref", "backendhttpsettingscollection"),
    "redirectconfiguration": Field("redirect", "ref", "redirectconfigurations"),
    "rewriteruleset": Field("rewrite", "ref", "rewriterulesets"),
}
_DEFAULTS = {
    "defaultbackendaddresspool": Field("default_pool", "ref", "backendaddresspools"),
    "defaultbackendhttpsettings": Field("default_settings", "ref", "backendhttpsettingscollection"),
    "defaultredirectconfiguration": Field("default_redirect", "ref", "redirectconfigurations"),
    "defaultrewriteruleset": Field("default_rewrite", "ref", "rewriterulesets"),
}
_DISTRIBUTION = {"loaddistributionpolicy": Field("distribution", "ref", "loaddistributionpolicies")}

COLLECTIONS = {
    "sslcertificates": Collection("certificates", _CERTIFICATE),
    "trustedrootcertificates": Collection(
        "trusted_roots",
        {
            "data": Field("data", "text"),
            "keyvaultsecretid": Field("key_vault_secret_id", "secret"),
            "file": Field("file", "text"),
        },
    ),
    "trustedclientcertificates": Collection(
        "trusted_client_certificates", {"data": Field("data", "text"), "file": Field("file", "text")}
    ),
    "sslprofiles": Collection(
        "ssl_profiles",
        {
            "sslpolicy": Field("ssl_policy", "object", "sslpolicy"),
            "trustedclientcertificates": Field(
                "trusted_client_certificates", "refs", "trustedclientcertificates"
            ),
            "clientauthconfiguration": Field("client_auth_configuration", "object", "clientauthentication"),
        },
    ),
    "probes": Collection("probes", _PROBE),
    "backendhttpsettingscollection": Collection("settings", _SETTINGS),
    "backendaddresspools": Collection("pools", {"backendaddresses": Field("members", "members")}),
    "httplisteners": Collection(
        "listeners",
        {
            "frontendport": Field("port", "port"),
            "protocol": Field("protocol"),
            "hostnames": Field("host_names", "hosts"),
            "hostname": Field("host_names", "host"),
            "sslcertificate": Field("certificates", "refs", "sslcertificates"),
            "sslprofile": Field("ssl_profile", "ref", "sslprofiles"),
            "requireservernameindication": Field("require_server_name_indication"),
            "customerrorconfigurations": Field("error_pages", "objects", "errorpage"),
        },
    ),
    "listeners": Collection(
        "listeners",
        {
            "frontendport": Field("port", "port"),
            "protocol": Field("protocol"),
            "hostnames": Field("host_names", "hosts"),
            "sslcertificate": Field("certificates", "refs", "sslcertificates"),
            "sslprofile": Field("ssl_profile", "ref", "sslprofiles"),
        },
    ),
    "backendsettingscollection": Collection(
        "settings",
        {
            "timeout": Field("request_timeout"),
            "enablel4clientippreservation": Field("enable_l4_client_ip_preservation"),
            **{
                key: _SETTINGS[key]
                for key in (
                    "port", "protocol", "probe", "hostname", "pickhostnamefrombackendaddress",
                    "trustedrootcertificates", "validatecertchainandexpiry", "validatesni", "sniname", "connecttimeout",
                )
            },
        },
    ),
    "redirectconfigurations": Collection(
        "redirects",
        {
            "redirecttype": Field("redirect_type"),
            "targetlistener": Field("target_listener", "ref", "httplisteners"),
            "targeturl": Field("target_url", "text"),
            "includepath": Field("include_path"),
            "includequerystring": Field("include_query_string"),
        },
    ),
    "rewriterulesets": Collection("rewrites", {"rewriterules": Field("rules", "objects", "rewriterule")}),
    "advancedroutingconditionsets": Collection(
        "condition_sets", {"routingconditions": Field("conditions", "objects", "routingcondition")}
    ),
    "loaddistributionpolicies": Collection(
        "distributions",
        {
            "loaddistributionalgorithm": Field("algorithm", "text"),
            "loaddistributiontargets": Field("targets", "objects", "distributiontarget"),
        },
    ),
    "advancedroutingrules": Collection(
        "rules",
        {
            "priority": Field("priority"),
            "advancedroutingconditionset": Field("condition_set", "ref", "advancedroutingconditionsets"),
            **_TARGETS,
        },
    ),
    "advancedroutingmaps": Collection(
        "routing_maps", {**_DEFAULTS, "advancedroutingrules": Field("rules", "children", "advancedroutingrules")}
    ),
    "pathrules": Collection("path_rules", {"paths": Field("paths"), **_TARGETS, **_DISTRIBUTION}),
    "urlpathmaps": Collection(
        "path_maps",
        {
            **_DEFAULTS,
            "defaultloaddistributionpolicy": Field("default_distribution", "ref", "loaddistributionpolicies"),
            "pathrules": Field("path_rules", "children", "pathrules"),
        },
    ),
    "requestroutingrules": Collection(
        "rules",
        {
            "httplistener": Field("listener", "ref", "httplisteners"),
            "priority": Field("priority"),
            "urlpathmap": Field("path_map", "ref", "urlpathmaps"),
            "advancedroutingmap": Field("routing_map", "ref", "advancedroutingmaps"),
            **_TARGETS,
            **_DISTRIBUTION,
        },
    ),
    "routingrules": Collection(
        "rules",
        {
            "listener": Field("listener", "ref", "listeners"),
            "priority": Field("priority"),
            "backendaddresspool": Field("pool", "ref", "backendaddresspools"),
            "backendsettings": Field("settings", "ref", "backendsettingscollection"),
        },
    ),
}

SPELLING = {
    word.casefold(): word
    for word in (
        "statusCodes drainTimeoutInSec keyVaultSecretId requestTimeout webSocketIdleTimeout connectTimeout "
        "cookieBasedAffinity affinityCookieName hostName hostNames pickHostNameFromBackendAddress connectionDraining "
        "trustedRootCertificates dedicatedBackendConnection validateCertChainAndExpiry validateSNI sniName "
        "unhealthyThreshold pickHostNameFromBackendHttpSettings minServers backendAddresses ipAddress frontendPort "
        "sslCertificate requireServerNameIndication redirectType targetListener targetUrl includePath "
        "includeQueryString backendAddressPool backendHttpSettings redirectConfiguration defaultBackendAddressPool "
        "defaultBackendHttpSettings defaultRedirectConfiguration pathRules httpListener urlPathMap sslCertificates "
        "backendHttpSettingsCollection backendAddressPools httpListeners redirectConfigurations urlPathMaps "
        "requestRoutingRules certificateFile keyFile customErrorConfigurations firewallPolicy sslProfile sslProfiles "
        "rewriteRuleSet rewriteRuleSets defaultRewriteRuleSet loadDistributionPolicy loadDistributionPolicies "
        "defaultLoadDistributionPolicy advancedRoutingMap advancedRoutingMaps advancedRoutingConditionSets "
        "authenticationCertificates entraJWTValidationConfig entraJWTValidationConfigs authConfigs "
        "enableProbeProxyProtocolHeader autoscaleConfiguration gatewayIPConfigurations frontendIPConfigurations "
        "webApplicationFirewallConfiguration forceFirewallPolicyAssociation sslPolicy trustedClientCertificates "
        "enableHttp2 enableFips routingRules backendSettingsCollection globalConfiguration enableRequestBuffering "
        "enableResponseBuffering disableDefaultServerHeaderInResponse privateLinkConfigurations reservedCapacity "
        "privateLinkConfiguration backendIPConfigurations pickHostNameFromBackendSettings policyType policyName "
        "minProtocolVersion cipherSuites disabledSslProtocols verifyClientAuthMode verifyClientCertIssuerDN "
        "verifyClientRevocation clientAuthConfiguration statusCode customErrorPageUrl "
        "ignoreCase headerName headerValue headerValueMatcher modifiedPath modifiedQueryString rewriteRules "
        "advancedRoutingRules advancedRoutingConditionSet routingConditions conditionType propertyName "
        "propertyValues propertyValueMatcher loadDistributionAlgorithm loadDistributionTargets weightPerServer "
        "ruleSequence actionSet requestHeaderConfigurations responseHeaderConfigurations urlConfiguration "
        "enableL4ClientIpPreservation backendSettings frontendPorts"
    ).split()
}
"""How the keys of the tables are spelled, for suggestions."""

IGNORED = frozenset(
    "id etag type name properties provisioningstate resourcegroup resourceguid publiccertdata validatedcertdata "
    "probeenabled requestroutingrules urlpathmaps pathrules httplisteners backendhttpsettings backendaddresspools "
    "ruletype "
    "frontendipconfiguration loadbalancerbackendaddresses dependson copy comments backendipconfigurations "
    "tags metadata".split()
)
"""Members of child objects that are read-only, back references, or looked at elsewhere."""

_LEAVES = "backends are verified against trusted roots, not against a list of leaf certificates"
_WAF = "requests are not inspected by a web application firewall"
NOT_HONOURED = {
    "firewallpolicy": _WAF,
    "authenticationcertificates": _LEAVES,
    "entrajwtvalidationconfig": "tokens are not validated",
    "authconfigs": "tokens are not validated",
    "privatelinkconfiguration": "there is no private link here",
    "hsm": "keys in an HSM cannot be used; give the certificate with overrides",
}
"""Members of child objects that are accepted and named in the report."""

TOP_NOT_HONOURED = {
    "sku": "capacity and size are those of this machine",
    "autoscaleconfiguration": "the gateway does not scale by itself",
    "gatewayipconfigurations": "there are no subnets here",
    "frontendipconfigurations": "the address is not bound; listeners are on all addresses of this machine",
    "webapplicationfirewallconfiguration": _WAF,
    "firewallpolicy": _WAF,
    "forcefirewallpolicyassociation": _WAF,
    "authenticationcertificates": _LEAVES,
    "enablehttp2": "clients are served HTTP/1.1",
    "enablefips": "the FIPS mode of OpenSSL is the machine's",
    "privatelinkconfigurations": "there is no private link here",
    "entrajwtvalidationconfigs": "tokens are not validated",
    "reservedcapacity": "capacity and size are those of this machine",
    "identity": "Key Vault is not asked for certificates",
    "zones": "the gateway runs on this machine only",
}
"""Members of the gateway itself that are accepted and named in the report."""

GLOBAL = {
    "enablerequestbuffering": Field("enable_request_buffering"),
    "enableresponsebuffering": Field("enable_response_buffering"),
    "disabledefaultserverheaderinresponse": Field("disable_default_server_header_in_response"),
}
"""Members of ``globalConfiguration``."""

CARDS = "members that are network interfaces are known only in Azure; give them with overrides 'pools'"
"""What becomes of a pool's ``backendIPConfigurations``, where it has other members too."""

TOP_READ = {
    "customerrorconfigurations": (Field("error_pages", "objects", "errorpage"), "the gateway's own pages are sent"),
    "sslpolicy": (Field("ssl_policy", "object", "sslpolicy"), "the default policy is used"),
}
"""Members of the gateway itself that are read and are no collections of named objects."""

TOP_IGNORED = frozenset(
    "id name type etag location tags apiversion provisioningstate operationalstate resourceguid resourcegroup "
    "properties dependson comments condition copy scale metadata frontendports "
    "defaultpredefinedsslpolicy privateendpointconnections existing resources extendedlocation managedby plan kind "
    "systemdata tag tagstable resourcegroupname".split()
)
