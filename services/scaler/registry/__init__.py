"""What runs here is told to Consul, and what runs elsewhere is learnt from it; decides nothing about services."""
