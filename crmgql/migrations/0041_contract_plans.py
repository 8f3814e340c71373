"""What of contracts' plans is received and overdue, and when somebody was told."""

from pathlib import Path

from tortoise import migrations
from tortoise.migrations.operations import RunSQL


class Migration(migrations.Migration):
    dependencies = [("crm", "0040_money_by_its_documents")]
    operations = [RunSQL(Path(__file__).with_suffix(".sql").read_text("utf-8"), reverse_sql=None)]
