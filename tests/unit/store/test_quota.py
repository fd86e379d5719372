# SPDX-License-Identifier: Apache-2.0
import testtools

from nova_armvm.store import quota


def used(limit, in_use, reserved=0):
    return {'limit': limit, 'in_use': in_use, 'reserved': reserved}


class QuotaTest(testtools.TestCase):

    def narrowest(self, **quotas):
        return quota.narrowest(quota.limits(quotas, 'nvram'))

    def test_limit_that_is_reached_first_counts(self):
        for quotas, name, stores in (
                ({'volumes': used(10, 4), 'gigabytes': used(1000, 4)},
                 'volumes', 6),
                ({'volumes': used(10, 4), 'gigabytes': used(5, 4)},
                 'gigabytes', 1),
                ({'volumes': used(-1, 4), 'volumes_nvram': used(9, 4, 2)},
                 'volumes_nvram', 3),
                ({'gigabytes_nvram': used(3, 4)}, 'gigabytes_nvram', 0)):
            with self.subTest(name):
                found = self.narrowest(**quotas)
                self.assertEqual((name, stores), (found.name, found.stores))

    def test_no_limit(self):
        self.assertIsNone(self.narrowest(volumes=used(-1, 4)))
        self.assertIsNone(self.narrowest())

    def test_limits_of_other_types_and_resources_do_not_count(self):
        self.assertIsNone(self.narrowest(volumes_other=used(1, 1),
                                         snapshots=used(1, 1), id='project'))
