# ä
workload "ü" { rísk = "€" }
