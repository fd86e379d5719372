# SPDX-License-Identifier: Apache-2.0
"""A cloud in a file, and the commands that DevStack would call on it.

Stands for ``openstack`` and ``glance-manage`` in the tree of the tests.
Whether the real client knows the options is not checked here but by its own
parsers (test_commands.py).
"""
import json
import os
import sys

# Nothing else is imported: it is started some forty times for each cloud.

#: Words that stand alone; every other option has a value.
_FLAGS = ('--private', '--public', '--or-show', '--unprotected', '--volume')

State = dict

#: A cloud as DevStack has made it, before a plugin is asked.
FRESH: State = {
    'up': True,
    'project': {},
    'role': {'admin': 'r1', 'member': 'r2'},
    'assigned': ['admin'],
    'type': {'lvmdriver-1': {'public': True, 'access': [],
                             'properties': ['volume_backend_name=lvmdriver-1'],
                             'volumes': 0}},
    'quota': {'volumes': '10', 'gigabytes': '1000', 'snapshots': '10'},
    'metadef': {'OS::Compute::Hypervisor': {'protected': True}},
    'image': {},
    'flavor': {'m1.nano': {'id': '42', 'ram': '128'}},
}


def fresh() -> State:
    """Return a new cloud; its project of the services has an id of its own."""
    made = json.loads(json.dumps(FRESH))
    made['project'] = {'service': new_id()}
    return made


def new_id() -> str:
    return os.urandom(16).hex()


class Refused(Exception):
    """What the client prints on standard error, ending with status 1."""


class Command:
    """A command line: words, options with values, flags."""

    def __init__(self, words: list[str]) -> None:
        self.words: list[str] = []
        self.flags: set[str] = set()
        self.options: dict[str, list[str]] = {}
        rest = iter(words)
        for word in rest:
            if word in _FLAGS:
                self.flags.add(word)
            elif word.startswith('-'):
                self.options.setdefault(word, []).append(next(rest))
            else:
                self.words.append(word)

    def one(self, option: str) -> str:
        return self.options[option][0]


def _read(path: str) -> str:
    with open(path) as stream:
        return stream.read()


def _known(things: dict, name: str, kind: str) -> object:
    if name not in things:
        raise Refused(f'No {kind} with a name or ID of {name!r} exists.')
    return things[name]


def _role_name(state: State, command: Command) -> str:
    name = command.words[0]
    _known(state['role'], name, 'role')
    return name


def project_show(state: State, command: Command) -> str:
    return _known(state['project'], command.words[0], 'project')


def role_show(state: State, command: Command) -> str:
    return state['role'][_role_name(state, command)]


def role_create(state: State, command: Command) -> str:
    name = command.words[0]
    if name in state['role'] and '--or-show' not in command.flags:
        raise Refused('Conflict occurred attempting to store role')
    return state['role'].setdefault(name, new_id())


def role_delete(state: State, command: Command) -> None:
    del state['role'][_role_name(state, command)]


def _is_nova_in_service(state: State, command: Command) -> None:
    if command.one('--user') != 'nova' or command.one('--project') not in (
            'service', state['project']['service']):
        raise Refused('no such user or project')


def role_add(state: State, command: Command) -> None:
    name = _role_name(state, command)
    _is_nova_in_service(state, command)
    if name not in state['assigned']:
        state['assigned'].append(name)


def role_remove(state: State, command: Command) -> None:
    name = _role_name(state, command)
    _is_nova_in_service(state, command)
    if name not in state['assigned']:
        raise Refused('Could not find role assignment')
    state['assigned'].remove(name)


def role_assignment_list(state: State, command: Command) -> str | None:
    _is_nova_in_service(state, command)
    name = command.one('--role')
    return state['role'][name] if name in state['assigned'] else None


def volume_type_show(state: State, command: Command) -> str:
    found = _known(state['type'], command.words[0], 'Type')
    access = None if found['public'] else found['access']
    return f'{access}\n{found["public"]}'


def volume_type_create(state: State, command: Command) -> None:
    name = command.words[0]
    if name in state['type']:
        raise Refused(f'Volume Type {name} already exists.')
    state['type'][name] = {
        'public': '--private' not in command.flags, 'access': [],
        'properties': command.options['--property'], 'volumes': 0}


def volume_type_set(state: State, command: Command) -> None:
    found = _known(state['type'], command.words[0], 'Type')
    project = command.one('--project')
    if found['public'] or project in found['access']:
        raise Refused('access exists already or the type is public')
    found['access'].append(project)


def volume_type_unset(state: State, command: Command) -> None:
    found = _known(state['type'], command.words[0], 'Type')
    if command.one('--project') not in found['access']:
        raise Refused('there is no such access')
    found['access'].remove(command.one('--project'))


def volume_type_delete(state: State, command: Command) -> None:
    found = _known(state['type'], command.words[0], 'Type')
    if found['volumes']:
        raise Refused('Target volume type is still in use.')
    del state['type'][command.words[0]]


def quota_show(state: State, command: Command) -> str:
    return '\n'.join(f'{name} {limit}'
                     for name, limit in state['quota'].items())


def quota_set(state: State, command: Command) -> None:
    if command.words[0] != state['project']['service']:
        raise Refused('no such project')
    for name, values in command.options.items():
        state['quota'][name.removeprefix('--')] = values[0]


def image_metadef_namespace_show(state: State, command: Command) -> None:
    _known(state['metadef'], command.words[0], 'namespace')


def image_metadef_namespace_set(state: State, command: Command) -> None:
    found = _known(state['metadef'], command.words[0], 'namespace')
    found['protected'] = '--unprotected' not in command.flags


def image_metadef_namespace_delete(state: State, command: Command) -> None:
    if _known(state['metadef'], command.words[0],
              'namespace')['protected']:
        raise Refused('Metadata definition namespace is protected.')
    del state['metadef'][command.words[0]]


def image_create(state: State, command: Command) -> str:
    made = new_id()
    state['image'][made] = {
        'name': command.words[0], 'public': '--public' in command.flags,
        'content': _read(command.one('--file')),
        'format': command.one('--disk-format'),
        'properties': dict(each.split('=', 1) for each
                           in command.options['--property'])}
    return made


def image_show(state: State, command: Command) -> None:
    _known(state['image'], command.words[0], 'image')


def image_delete(state: State, command: Command) -> None:
    _known(state['image'], command.words[0], 'image')
    del state['image'][command.words[0]]


def flavor_show(state: State, command: Command) -> str:
    return _known(state['flavor'], command.words[0], 'flavor')['id']


def flavor_create(state: State, command: Command) -> None:
    name = command.words[0]
    if name in state['flavor']:
        raise Refused(f'Flavor with name {name} already exists.')
    state['flavor'][name] = {'id': f'id-of-{name}',
                             'ram': command.one('--ram')}


def flavor_delete(state: State, command: Command) -> None:
    _known(state['flavor'], command.words[0], 'flavor')
    del state['flavor'][command.words[0]]


def _load_metadefs(state: State, words: list[str]) -> None:
    assert words[0] == '--config-file' and words[2] == 'db_load_metadefs'
    for name in os.listdir(words[3]):
        loaded = json.loads(_read(os.path.join(words[3], name)))
        state['metadef'].setdefault(
            loaded['namespace'], {'protected': loaded['protected']})


def work_of(words: list[str]) -> tuple:
    """Find the function of a command and return it with its arguments."""
    for length in range(4, 0, -1):
        work = globals().get('_'.join(words[:length]))
        if work is not None and len(words) > length:
            return work, words[length:]
    raise Refused(f'{words} is not an openstack command.')


def _openstack(state: State, words: list[str]) -> str | None:
    if not state['up']:
        raise Refused('Failed to discover available identity versions')
    # The client mixes them with what --os-cloud names.
    mixed = [name for name in os.environ
             if name.startswith('OS_') and name != 'OS_CACERT']
    if mixed and 'OS_CLOUD' not in mixed:
        raise Refused(f'The request you have made requires authentication: '
                      f'{mixed}')
    option, cloud, *words = words
    assert option == '--os-cloud', option
    if cloud == 'devstack-system-admin' and words[0] not in ('role',
                                                             'project'):
        raise Refused('You are not authorized: system scope')
    work, arguments = work_of(words)
    return work(state, Command(arguments))


def main() -> int:
    # Called as "cloud.py NAME WORD...".
    name, *words = sys.argv[1:]
    with open(os.environ['CALLS'], 'a') as stream:
        stream.write(json.dumps([name, *words]) + '\n')
    state = json.loads(_read(os.environ['FAKE_CLOUD']))
    try:
        if name == 'glance-manage':
            said = _load_metadefs(state, words)
        else:
            said = _openstack(state, words)
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    if said is not None:
        print(said)
    with open(os.environ['FAKE_CLOUD'], 'w') as stream:
        json.dump(state, stream)
    return 0


if __name__ == '__main__':
    sys.exit(main())
