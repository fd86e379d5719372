# SPDX-License-Identifier: Apache-2.0
"""What Tempest demands of every test, and what our own promise."""
import ast
import pathlib
import unittest
import uuid

import nova_armvm_tempest_plugin

TOP = pathlib.Path(nova_armvm_tempest_plugin.__file__).parent


def _tests() -> list[tuple[str, ast.FunctionDef]]:
    found = []
    for path in sorted(TOP.rglob('test_*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith(
                    'test_'):
                found.append((path.name, node))
    return found


def _identity(test: ast.FunctionDef) -> str:
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and getattr(
                decorator.func, 'attr', '') == 'idempotent_id':
            return decorator.args[0].value
    return ''


class ScenarioTest(unittest.TestCase):

    def test_every_test_has_an_identity_of_its_own(self):
        identities = [_identity(test) for _file, test in _tests()]
        self.assertGreater(len(identities), 15)
        self.assertEqual(len(identities), len(set(identities)))
        for identity in identities:
            self.assertEqual(4, uuid.UUID(identity).version)

    def test_nothing_of_the_driver_or_the_sandbox_is_imported(self):
        for path in TOP.rglob('*.py'):
            for node in ast.walk(ast.parse(path.read_text())):
                names = ([alias.name for alias in node.names]
                         if isinstance(node, ast.Import) else
                         [node.module] if isinstance(node, ast.ImportFrom)
                         else [])
                for name in names:
                    with self.subTest(path.name, name=name):
                        self.assertNotIn(name.split('.')[0],
                                         ('nova_armvm', 'nova', 'tools'))
