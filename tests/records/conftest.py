"""The planner's bench and company, and the world of the mutations."""

from tests.planner.conftest import bench, company
from tests.schema.conftest import world

__all__ = ["bench", "company", "world"]
