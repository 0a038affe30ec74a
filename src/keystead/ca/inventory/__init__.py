"""What was asked, issued and revoked in one environment: the CA's database."""
