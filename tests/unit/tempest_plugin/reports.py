# SPDX-License-Identifier: Apache-2.0
"""Lines of a guest's console, as the guest of the sandbox writes them."""
import json

OPTION = '0100000004007600610000007fff0400'
PROBE = '00112233445566778899aabbccddeeff'


def line(event: str, **fields) -> str:
    return 'ARMVM ' + json.dumps({'event': event, 'sequence': 0, **fields})


def store(event: str, boot_id: str = 'first', **fields) -> str:
    """Return a report of the variables; empty unless a field says more."""
    return line(event, **{
        'disk': 'U', 'boot_id': boot_id, 'description': 'acpi',
        'current': '0100', 'order': '01000200', 'probe': '', 'boots': '',
        'beat': '', 'options': {}, **fields})


def written(boot_id: str = 'first', event: str = 'report', **fields) -> str:
    """Return a report of the variables that a guest has written."""
    return store(event, boot_id, **{
        'current': '4000', 'order': '400001000200', 'probe': PROBE,
        'boots': '00000001', 'beat': '00000003',
        'options': {'Boot0001': '07', 'Boot0040': OPTION}, **fields})


def hardware(**fields) -> str:
    return line('hardware', **{**HARDWARE, **fields})


def alive(beat: int, boot_id: str = 'first', result: str = 'ok') -> str:
    return line('alive', disk='U', boot_id=boot_id, beat=f'{beat:08x}',
                result=result)


def first_boot(boot_id: str = 'first', beat: int = 1) -> str:
    """Return all that a guest says at the first boot of a store."""
    return '\n'.join((
        'UEFI firmware', store('boot', boot_id),
        line('written', variable='ArmvmProbe-x', result='ok'),
        written(boot_id, beat=''), alive(beat, boot_id), hardware()))


def next_boot(boot_id: str, beat: int = 4, **found) -> str:
    """Return all that it says at a later one, which finds everything."""
    return '\n'.join((
        written(boot_id, 'boot', **found),
        written(boot_id, boots='00000002'), alive(beat, boot_id), hardware()))


HARDWARE = {
    'machine': 'aarch64', 'description': 'acpi', 'efi': '2.70',
    'clocks': 'rtc-efi rtc-efi.0', 'level': 'EL1', 'psci': '1.1',
    'conduit': 'hvc', 'uart': 'sbsa-uart', 'virtio_consoles': '',
    'gic': 'GICv3', 'timer': 'virt', 'free_ports': 4, 'disks': 'vda,sr0',
    'interfaces': 'eth0,lo'}
