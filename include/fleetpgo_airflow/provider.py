"""What Airflow's provider mechanism is told: the form of the connection to a forge.

Plain data, found by the entry point ``apache_airflow_provider``. It lies in the installed package, not among
the plugins, because Airflow asks for it in every process, whichever plugins that has.
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """As ``airflow/provider_info.schema.json`` wants it."""
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
                        "description": "of a local forge, instead of an address and a token",
                        "schema": {"type": ["string", "null"]},
                    },
                    "app_id": {
                        "label": "GitHub App",
                        "description": "its id, if the token is the private key of an app",
                        "schema": {"type": ["string", "null"]},
                    },
                    "installation_id": {
                        "label": "Installation of the App",
                        "description": "its id: the number at the end of the address of its settings",
                        "schema": {"type": ["string", "null"]},
                    },
                    "service": {
                        "label": "Service to test with",
                        "description": "Test asks for the open pull request of this service",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
    }
