"""What Alembic runs: migrations on the connection that `service.schema` hands over."""

from alembic import context

import service.auth.tables
import service.jobs.tables
import service.slides.tables  # noqa: F401 - imported for their tables
from service.database import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
