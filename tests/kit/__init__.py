"""What the tests of all tiers share: servers, and the run itself."""
