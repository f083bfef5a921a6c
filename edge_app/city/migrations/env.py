"""Run the migrations on the connection that is handed over (Alembic's own entrance)."""

from alembic import context

from edge_app.city.database.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
