"""Jobs: rows in SQL, run one by one by a dispatcher on the Dask cluster."""
