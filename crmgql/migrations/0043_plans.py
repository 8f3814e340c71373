"""Plans by which people are paid, and quotas."""

from pathlib import Path

from tortoise import migrations
from tortoise.migrations.operations import RunSQL


class Migration(migrations.Migration):
    dependencies = [("crm", "0042_payout_lines")]
    operations = [RunSQL(Path(__file__).with_suffix(".sql").read_text("utf-8"), reverse_sql=None)]
