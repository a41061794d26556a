"""A study shown in MLflow as well."""
