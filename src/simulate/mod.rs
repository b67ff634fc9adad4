//! Made-up plates with known truth.
