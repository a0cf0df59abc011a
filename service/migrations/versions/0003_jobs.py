"""Jobs, what was said of them, and what came of them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "jobs",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("submitted_by", sa.String(100), nullable=False),
        sa.Column("key", sa.String(200), nullable=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("workflow", sa.String(60), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("not_before", sa.DateTime(), nullable=False),
        sa.Column("started", sa.DateTime(), nullable=True),
        sa.Column("finished", sa.DateTime(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(80), nullable=True),
        sa.Column("lease_until", sa.DateTime(), nullable=True),
        sa.Column("cancel", sa.Boolean(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=True),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("has_outcome", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("token_id", "key", name="uq_jobs_token_id_key"),
    )
    op.create_index("ix_jobs_state_rank_number", "jobs", ["state", "rank", "number"])
    op.create_index("ix_jobs_token_id_state", "jobs", ["token_id", "state"])
    op.create_index("ix_jobs_token_id_number", "jobs", ["token_id", "number"])
    op.create_index("ix_jobs_owner", "jobs", ["owner"])
    op.create_table(
        "job_lines",
        sa.Column("job", sa.Integer(), sa.ForeignKey("jobs.number"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("level", sa.String(10), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
    )
    op.create_table(
        "job_outcomes",
        sa.Column("job", sa.Integer(), sa.ForeignKey("jobs.number"), primary_key=True),
        sa.Column("document", sa.JSON(), nullable=False),
    )


def downgrade() -> None:
    """Take them away."""
    op.drop_table("job_outcomes")
    op.drop_table("job_lines")
    op.drop_table("jobs")
