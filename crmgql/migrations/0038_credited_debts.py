"""A credit note takes what is owed again for the order of its invoice, too."""

from pathlib import Path

from tortoise import migrations
from tortoise.migrations.operations import RunSQL


class Migration(migrations.Migration):
    dependencies = [("crm", "0037_credited")]
    operations = [RunSQL(Path(__file__).with_suffix(".sql").read_text("utf-8"), reverse_sql=None)]
