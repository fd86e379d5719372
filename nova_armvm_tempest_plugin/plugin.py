# SPDX-License-Identifier: Apache-2.0
"""What Tempest asks of a plugin."""
import os

from oslo_config import cfg
from tempest.test_discover import plugins

from nova_armvm_tempest_plugin import config


class NovaArmVMTempestPlugin(plugins.TempestPlugin):
    """Tests of ARM servers with persistent UEFI variables."""

    def load_tests(self) -> tuple[str, str]:
        """Return where the tests are, and what the paths start from."""
        package = os.path.dirname(os.path.abspath(__file__))
        return os.path.join(package, 'tests'), os.path.dirname(package)

    def register_opts(self, conf: cfg.ConfigOpts) -> None:
        """Make the options known to Tempest."""
        conf.register_group(config.armvm_group)
        conf.register_opts(config.armvm_opts, config.armvm_group)

    def get_opt_lists(self) -> list[tuple[str, list[cfg.Opt]]]:
        """Return the options for a sample of Tempest's configuration."""
        return [(config.armvm_group.name, config.armvm_opts)]
