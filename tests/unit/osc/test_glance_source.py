# SPDX-License-Identifier: Apache-2.0
import os

import testtools

from nova_armvm import exception
from nova_armvm.osc import glance_source
from tests.unit.osc import glance

CONTENT = os.urandom(700_000) + bytes(2_000_000) + os.urandom(100)


class RangesTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.glance = self.useFixture(glance.GlanceFixture())
        self.image = self.glance.add('image', CONTENT)
        self.source = glance_source.GlanceSource(
            self.glance.adapter(), self.image.id, self.image.size)

    def test_any_part_is_read_as_it_is(self):
        for offset, length in ((0, 10), (262_140, 10), (100_000, 600_000),
                               (len(CONTENT) - 5, 5)):
            self.assertEqual(CONTENT[offset:offset + length],
                             self.source.read_at(offset, length))

    def test_end_of_the_image_is_the_end(self):
        self.assertEqual(CONTENT[-5:],
                         self.source.read_at(len(CONTENT) - 5, 100))

    def test_many_small_reads_are_few_requests(self):
        for place in range(0, 500_000, 512):
            self.source.read_at(place, 512)
        self.assertEqual(2, len(self.glance.asked))

    def test_store_without_ranges_is_told_apart(self):
        self.glance.refuses_ranges = True
        self.assertRaises(glance_source.RangesRefused, self.source.read_at,
                          0, 10)

    def test_answer_about_another_part_is_refused(self):
        self.glance.shift = 1
        self.assertRaises(exception.ImageUnsupported, self.source.read_at, 0,
                          10)

    def test_answer_that_is_too_long_is_refused(self):
        self.glance.surplus = 10
        self.assertRaises(exception.ImageUnsupported, self.source.read_at, 0,
                          10)

    def test_image_that_became_shorter_is_refused(self):
        self.image.content = CONTENT[:1000]
        self.assertRaises(exception.ImageUnsupported, self.source.read_at, 0,
                          10)


class CopiedTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.glance = self.useFixture(glance.GlanceFixture())
        self.image = self.glance.add('image', CONTENT)
        self.told = []

    def copied(self):
        return glance_source.copied(self.glance.adapter(), self.image.id,
                                    len(CONTENT), self.told.append)

    def test_whole_image_is_there_and_then_gone(self):
        with self.copied() as source:
            self.assertEqual(CONTENT, source.read_at(0, len(CONTENT)))
            path = os.readlink(f'/proc/self/fd/{source._handle}')
        self.assertFalse(os.path.exists(path))

    def test_progress_is_told(self):
        with self.copied():
            self.assertEqual(len(CONTENT), self.told[-1])

    def test_image_that_is_cut_off_is_refused(self):
        self.glance.cut = 1000
        with testtools.ExpectedException(exception.ImageUnsupported):
            with self.copied():
                pass

    def test_no_more_is_taken_than_the_image_has(self):
        self.image.content = CONTENT * 20
        with testtools.ExpectedException(exception.ImageUnsupported):
            with self.copied():
                pass
        self.assertEqual([], [size for size in self.told
                              if size > len(CONTENT)])
