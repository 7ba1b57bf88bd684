"""The form of the connection to a forge, for Airflow's provider mechanism.

Plain data, which Airflow finds by the entry point ``apache_airflow_provider``. It is in the installed
package, not among the plugins, because Airflow asks for it in every process, with or without plugins.
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the data that ``airflow/provider_info.schema.json`` describes."""
    return {
        "package-name": "fleetpgo",
        "name": "fleetpgo",
        "description": "Profile-guided optimisation of Go services, from the fleet's own CPU profiles",
        "connection-types": [
            {
                "connection-type": "fleetpgo_forge",
                "hook-name": "Forge (fleetpgo)",
                "hook-class-name": "fleetpgo_airflow.connections.ForgeHook",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "port", "extra"],
                    "relabeling": {"host": "Address", "password": "Token"},
                    "placeholders": {"host": "https://github.com"},
                },
                "conn-fields": {
                    "path": {
                        "label": "Directory",
                        "description": "directory of a local forge, instead of an address and a token",
                        "schema": {"type": ["string", "null"]},
                    },
                    "app_id": {
                        "label": "GitHub App",
                        "description": "id of the app, if the token is the app's private key",
                        "schema": {"type": ["string", "null"]},
                    },
                    "installation_id": {
                        "label": "Installation of the App",
                        "description": "number at the end of the address of the installation's settings",
                        "schema": {"type": ["string", "null"]},
                    },
                    "ca": {
                        "label": "Certificate authorities",
                        "description": "file on the workers, in PEM, of the authorities to trust; by default "
                        "the system's",
                        "schema": {"type": ["string", "null"]},
                    },
                    "signing_key": {
                        "label": "Signing key",
                        "description": "private key for `commit.sign`, without a passphrase: SSH, or GPG as "
                        "`gpg --armor --export-secret-keys` prints it",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "service": {
                        "label": "Service to test with",
                        "description": "*Test* looks for the open pull request of this service",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
    }
