# SPDX-License-Identifier: Apache-2.0
"""Options of the plugin: the group [armvm] of tempest.conf.

What Tempest has a word for is not asked again: see the group's help.
"""
from oslo_config import cfg

armvm_group = cfg.OptGroup(
    'armvm',
    title='Tests of ARM servers with persistent UEFI variables',
    help="""
Options of the tests of nova_armvm.

Flavors, network and waiting times of Nova are those of ``[compute]``. What
Nova itself may lack is said in ``[compute-feature-enabled]``, and these tests
heed it: ``cold_migration``, ``resize``, ``live_migration``, ``shelve``,
``rescue``, ``interface_attach`` and ``console_output``. Hot-plug of a volume
is tried where ``[service_available] cinder`` is true, hot-plug of a port where
``[compute] fixed_network_name`` or a network of the tests is there.
""")

armvm_opts = [
    cfg.StrOpt(
        'image_ref',
        default='',
        help="""
UUID of the image with the conformance guest that writes without being told.

Its disk is built by the sandbox of nova_armvm (``disk-U.img``) and uploaded
with the properties that the cloud's ARM images have; one of them should be
``trait:CUSTOM_ARMVM=required``. Every test that listens to a guest is skipped
when this is empty.
"""),
    cfg.StrOpt(
        'image_alt_ref',
        default='',
        help="""
UUID of a second image with that guest, whose disk has another name
(``disk-V.img``).

Servers are rescued with it and rebuilt from it. These tests are skipped when
this is empty.
"""),
    cfg.StrOpt(
        'aarch32_image_ref',
        default='',
        help="""
UUID of an image with that guest for 32-bit ARM (``disk-W.img``), with
``hw_armvm_execution_state=aarch32`` and the properties that a 32-bit image
needs in this cloud.

The test of a machine that starts in AArch32 is skipped when this is empty:
leave it so when no host reports ``CUSTOM_ARMVM_AARCH32``.
"""),
    cfg.ListOpt(
        'gic_versions',
        default=['3'],
        item_type=cfg.types.String(choices=['2', '3']),
        help="""
Versions of the interrupt controller that the hosts offer.

A host says so by the traits ``CUSTOM_ARMVM_GIC_V2`` and
``CUSTOM_ARMVM_GIC_V3``. One guest is booted for each version that is named
here.
"""),
    cfg.IntOpt(
        'hosts',
        default=1,
        min=1,
        help="""
How many compute hosts report the trait ``CUSTOM_ARMVM``.

Tests in which a server goes to another host are skipped with fewer than 2.
``[compute] min_compute_nodes`` counts hosts without this driver as well, and
is not looked at.
"""),
    cfg.BoolOpt(
        'rebuild',
        default=True,
        help="""
Whether servers can be rebuilt from another image. Set it to False where a
policy forbids it.
"""),
    cfg.BoolOpt(
        'image_tags',
        default=True,
        help="""
Whether the tests may upload small images of their own, to try what becomes of
properties that are unknown or that no host can fulfil.

Set it to False where tenants must not upload images.
"""),
    cfg.BoolOpt(
        'evacuation',
        default=False,
        help="""
Whether a compute host may be killed, and its servers evacuated.

Needs the two options that follow, an administrator and a second host. The
host takes everything down that runs on it: use this in clouds for tests only.
"""),
    cfg.StrOpt(
        'host_down_command',
        default='',
        help="""
Command that takes the power from a compute host, with all guests on it.

Runs where Tempest runs, without a shell; ``{host}`` becomes the name of the
host. It has to return when the host is down. The test tells Nova that it is
(force-down).
"""),
    cfg.StrOpt(
        'host_up_command',
        default='',
        help="""
Command that gives the power back.

It has to return when nova-compute has given a sign of life again. The test
tells Nova that the host is up.
"""),
    cfg.IntOpt(
        'boot_timeout',
        default=300,
        min=1,
        help="""
Seconds within which a guest comes up, from the moment at which Nova says that
the server is active. An emulated guest needs half a minute on an idle machine.
"""),
    cfg.IntOpt(
        'device_timeout',
        default=60,
        min=1,
        help="""
Seconds within which a guest sees that a device has come or gone.
"""),
    cfg.IntOpt(
        'console_interval',
        default=2,
        min=1,
        help="""
Seconds between two looks at the console of a server.
"""),
    cfg.IntOpt(
        'console_lines',
        default=400,
        min=50,
        help="""
How many lines of a console are asked for at a time, from its end
(``os-getConsoleOutput``). The report of a boot has to be among them for as
long as a test waits for it.
"""),
]


def list_opts() -> list[tuple[cfg.OptGroup, list[cfg.Opt]]]:
    """Return all options, for the documentation."""
    return [(armvm_group, armvm_opts)]
