# Beside agent.hcl in production: whoever shows no token may read nothing and write nothing.
acl {
  enabled                  = true
  default_policy           = "deny"
  down_policy              = "extend-cache"
  enable_token_persistence = true
}
