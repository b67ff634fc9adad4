"""What can go wrong. Every message names what was looked at, what was expected and what was found."""


class CellshardError(Exception):
    """The base of all errors of this package but :class:`OSError`, which is what the system says."""


class DamagedError(CellshardError):
    """Data that is there and is not what it must be.

    Attributes:
        place: the file, and line or site where known.
        expected: what would have been right.
        found: what is there.
        site: the site, such as ``HEPG2-08/1/B02/1``, where it was read for one.
        shard: the path of its shard below the store, where it was read for a site.
    """

    def __init__(self, message, *, place=None, expected=None, found=None, site=None, shard=None):
        super().__init__(message)
        self.place, self.expected, self.found, self.site, self.shard = place, expected, found, site, shard


class UnfinishedError(CellshardError):
    """A store without its ``SHA256SUMS``: packing has not finished, or the upload has not."""


class NoSuchSiteError(CellshardError, LookupError):
    """A site that the store does not hold."""


class RefusedError(CellshardError, ValueError):
    """A request that contradicts what is there, or itself."""


class ForkedError(CellshardError, RuntimeError):
    """A loader that is used in a process that was forked from its own: its threads are not there."""


class BatchesHeldError(CellshardError, RuntimeError):
    """The next batch has no room, as all of a loader's memory is in batches that are still in use."""


class FaultsError(CellshardError):
    """A program that found faults of the data.

    Attributes:
        report: what it found, as its ``--json`` has it.
    """

    def __init__(self, message, report=None):
        super().__init__(message)
        self.report = report
