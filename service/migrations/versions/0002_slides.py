"""Registered slides, and uploads on their way."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "slides",
        sa.Column("id", sa.String(120), primary_key=True),
        sa.Column("is_upload", sa.Boolean(), nullable=False),
        sa.Column("path", sa.String(1000), nullable=False),
        sa.Column("reader", sa.String(40), nullable=False),
        sa.Column("vendor", sa.String(100), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("mpp_x", sa.Float(53), nullable=True),
        sa.Column("mpp_y", sa.Float(53), nullable=True),
        sa.Column("is_mpp_given", sa.Boolean(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("quick_hash", sa.String(64), nullable=False),
        sa.Column("registered", sa.DateTime(), nullable=False),
        sa.Column("registered_by", sa.String(100), nullable=False),
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("slide_id", sa.String(120), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=True),
        sa.Column("mpp", sa.Float(53), nullable=True),
        sa.Column("owner_id", sa.Integer(), nullable=True),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("changed", sa.DateTime(), nullable=False),
        sa.Column("slide", sa.String(120), nullable=True),
    )
    op.create_index("ix_uploads_changed", "uploads", ["changed"])


def downgrade() -> None:
    """Take them away."""
    op.drop_index("ix_uploads_changed", "uploads")
    op.drop_table("uploads")
    op.drop_table("slides")
