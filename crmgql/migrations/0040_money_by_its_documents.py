"""Money comes to a payment by its receipt, and leaves it by its refund."""

from pathlib import Path

from tortoise import migrations
from tortoise.migrations.operations import RunSQL


class Migration(migrations.Migration):
    dependencies = [("crm", "0039_schedules_once")]
    operations = [RunSQL(Path(__file__).with_suffix(".sql").read_text("utf-8"), reverse_sql=None)]
