"""The report of a mosaic: one page that opens in any browser without a network, and the same figures for programs.

`sources` says what a report is made from, `collect` turns it into `values`, `depth` and `advice` find out what is missing where,
`page` makes the page of them with the figures of `plots` and `skyfigures`, `files` writes all of it beside the mosaic.
"""

from zemosaic.report.files import write_report
from zemosaic.report.names import ENDINGS, report_path
from zemosaic.report.sources import Source

__all__ = ["ENDINGS", "Source", "report_path", "write_report"]
