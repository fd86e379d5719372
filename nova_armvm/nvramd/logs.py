# SPDX-License-Identifier: Apache-2.0
"""The log of the service: on standard error, which systemd takes."""
import logging
import os
import sys

#: The name of a level, and syslog's number for it.
LEVELS = {'DEBUG': 7, 'INFO': 6, 'WARNING': 4, 'ERROR': 3}


class _JournalFormatter(logging.Formatter):
    """Says the level as systemd reads it; it knows the time."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line a line, each with the level."""
        level = LEVELS.get(record.levelname, 3)
        return '\n'.join(f'<{level}>{line}' for line in
                         super().format(record).splitlines())


def prepare(level: str) -> None:
    """Begin to log.

    :param level: name of the least level that is of interest.
    """
    handler = logging.StreamHandler(sys.stderr)
    if 'JOURNAL_STREAM' in os.environ:
        handler.setFormatter(_JournalFormatter('%(message)s'))
    else:
        handler.setFormatter(logging.Formatter(
            '%(asctime)s %(levelname)s %(message)s'))
    logging.basicConfig(level=level, handlers=[handler])
