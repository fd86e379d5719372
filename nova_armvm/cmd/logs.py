# SPDX-License-Identifier: Apache-2.0
"""Where operators' commands log to: beside their output, not into it."""
from oslo_config import cfg
from oslo_log import log as logging


def prepare(conf: cfg.ConfigOpts) -> None:
    """Choose what is logged where nova.conf does not say.

    :param conf: not yet read.
    """
    logging.register_options(conf)
    # Standard output, which oslo.log would take, is for the answer.
    conf.set_default('use_stderr', True)
    # What os-brick misses on a host is told at every connection.
    logging.set_defaults(default_log_levels=[
        *logging.get_default_log_levels(), 'nova_armvm=WARNING',
        'os_brick=ERROR', 'nova.virt=ERROR'])
