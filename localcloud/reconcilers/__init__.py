"""One module per AWS notion. Each looks at what moto was told and at what Docker runs, and says what to do."""
