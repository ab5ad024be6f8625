# What the token of the hub's scaler may do ($AIHUB_CONSUL_TOKEN), where Consul denies by default. The deploy script makes
# both in prod; for a Consul of your own:
#   consul acl policy create -name aihub-scaler -rules @config/consul/policies/aihub-scaler.hcl
#   consul acl token create -description aihub-scaler -policy-name aihub-scaler

# Its services go by their names in the catalogue, and may be called anything; those of others are only read.
service_prefix "" {
  policy = "write"
}

# Whether the machine is well that another's service runs on.
node_prefix "" {
  policy = "read"
}

# How each service stands, asleep too.
key_prefix "aihub/" {
  policy = "write"
}
