"""The planner's company and bench, and the world of the mutations."""

from tests.planner.conftest import bench, company
from tests.schema.conftest import world

__all__ = ["bench", "company", "world"]
