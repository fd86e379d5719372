# SPDX-License-Identifier: Apache-2.0
"""What was found out about an image."""
import dataclasses
import enum
import typing as ty


class Outcome(enum.Enum):
    """How an image fares with a requirement."""

    PASS = 'pass'
    WARNING = 'warning'
    FAIL = 'fail'
    NOT_REACHED = 'not reached'
    NOT_JUDGED = 'not judged'


@dataclasses.dataclass(frozen=True)
class Finding:
    """An outcome.

    :ivar id: of the requirement.
    :ivar reason: in words, fit for whoever owns the image.
    """

    id: str
    outcome: Outcome
    reason: str


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything about one image.

    :ivar container: format of the file, one of container.FORMATS.
    :ivar architectures: execution states in which it can be started:
        ``aarch64``, ``aarch32``.
    """

    container: str
    findings: tuple[Finding, ...]
    architectures: tuple[str, ...]

    @property
    def compliant(self) -> bool:
        """Nothing that could be judged speaks against it."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the requirements that are broken."""
        return tuple(finding.id for finding in self.findings
                     if finding.outcome in (Outcome.FAIL,
                                            Outcome.NOT_REACHED))

    def as_dict(self) -> dict[str, ty.Any]:
        """Return it for programs."""
        return {
            'container': self.container, 'compliant': self.compliant,
            'architectures': list(self.architectures),
            'findings': [{'id': finding.id,
                          'outcome': finding.outcome.value,
                          'reason': finding.reason}
                         for finding in self.findings]}
